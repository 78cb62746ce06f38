"""The API server's own rules for pod specs: what schemas can't say.

Types are right (``Schema.validate`` ran before) and defaults are filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ome.apimachinery import names, quantity, selectors
from ome.apimachinery import problems as p
from ome.apimachinery.errors import BadRequest, FieldError
from ome.apimachinery.jsonvalues import json_equal
from ome.apimachinery.objects import Object

_PULL: Final = ("Always", "IfNotPresent", "Never")
_RESTART: Final = ("Always", "OnFailure", "Never")
_DNS: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_FIELD_PATHS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_CONTAINER_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")


def pod_template(template: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    meta = template.get("metadata") or {}
    yield from names.check_labels(meta.get("labels") or {}, f"{path}.metadata.labels")
    yield from names.check_annotations(
        meta.get("annotations") or {}, f"{path}.metadata.annotations"
    )
    spec = template.get("spec") or {}
    if spec.get("ephemeralContainers"):
        yield p.forbidden(
            f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"
        )
    yield from pod_spec(spec, f"{path}.spec")


def pod_spec(spec: Object, path: str) -> Iterator[FieldError]:
    volumes = spec.get("volumes") or []
    yield from _volumes(volumes, f"{path}.volumes")
    if not spec.get("containers"):
        yield p.required(f"{path}.containers")
    known = {v.get("name") for v in volumes}
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            yield from _container(container, where, known, init=field == "initContainers")
    everyone = [c.get("name") for f in ("containers", "initContainers") for c in spec.get(f) or ()]
    first = len(spec.get("containers") or ())
    for index, name in enumerate(everyone):
        if name and name in everyone[:index]:
            at = f"containers[{index}]" if index < first else f"initContainers[{index - first}]"
            yield p.duplicate(f"{path}.{at}.name", name)
    yield from _host_ports(spec, path)
    yield from p.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART)
    yield from p.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS)
    grace = spec.get("terminationGracePeriodSeconds")
    yield from p.at_least(f"{path}.terminationGracePeriodSeconds", grace, 0)
    yield from p.at_least(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1)
    yield from names.check_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    if spec.get("serviceAccountName"):
        account = spec["serviceAccountName"]
        yield from p.all_invalid(
            f"{path}.serviceAccountName", account, names.dns_subdomain(account)
        )
    if spec.get("hostname"):
        yield from p.all_invalid(
            f"{path}.hostname", spec["hostname"], names.dns_label(spec["hostname"])
        )
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(toleration, f"{path}.tolerations[{index}]")
    yield from _affinity(spec.get("affinity") or {}, f"{path}.affinity")
    for index, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        where = f"{path}.topologySpreadConstraints[{index}]"
        if (spread.get("maxSkew") or 0) <= 0:
            yield p.invalid(f"{where}.maxSkew", spread.get("maxSkew"), "must be greater than zero")
        yield from p.one_of(
            f"{where}.whenUnsatisfiable",
            spread.get("whenUnsatisfiable"),
            ("DoNotSchedule", "ScheduleAnyway"),
        )


def pod_update(new: Object, old: Object) -> Iterator[FieldError]:
    """What may change in the spec of a pod that exists: images, a shorter deadline, more
    tolerations, and the node once, by binding."""
    spec, before = _mutable_parts_removed(new, old), _mutable_parts_removed(old, old)
    old_tolerations = (old.get("spec") or {}).get("tolerations") or []
    tolerations = (new.get("spec") or {}).get("tolerations") or []
    for toleration in old_tolerations:
        if toleration not in tolerations:
            yield p.forbidden("spec.tolerations", "existing toleration can not be modified except"
                              " its tolerationSeconds")  # fmt: skip
            break
    if not json_equal(spec, before):
        changed = sorted(
            k for k in spec.keys() | before.keys() if not json_equal(spec.get(k), before.get(k))
        )
        yield p.forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            " `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`,"
            " `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously"
            f" negative) or `spec.tolerations` (only additions to existing tolerations);"
            f" changed: {', '.join(changed)}",
        )


def _mutable_parts_removed(pod: Object, old: Object) -> Object:
    spec = {
        k: v
        for k, v in (pod.get("spec") or {}).items()
        if k not in ("activeDeadlineSeconds", "tolerations")
    }
    if not (old.get("spec") or {}).get("nodeName"):
        spec.pop("nodeName", None)
    if (old.get("spec") or {}).get("schedulingGates"):
        for field in ("schedulingGates", "nodeSelector", "affinity"):
            spec.pop(field, None)
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = [
                {k: v for k, v in c.items() if k not in ("image", "imagePullPolicy")}
                for c in spec[field]
            ]
    # Adding or changing them has its own subresource.
    spec.pop("ephemeralContainers", None)
    return spec


def resources(amounts: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """``resources`` of a container: amounts not negative, requests within limits."""
    limits: Mapping[str, Any] = amounts.get("limits") or {}
    requests: Mapping[str, Any] = amounts.get("requests") or {}
    for field, listed in (("limits", limits), ("requests", requests)):
        for name, amount in listed.items():
            where = f"{path}.{field}[{name}]"
            yield from p.all_invalid(where, name, names.label_key(name))
            if "/" not in name and not _is_standard(name) and not name.startswith("hugepages-"):
                yield p.invalid(where, name, "must be a standard resource for containers")
            if quantity.parse(amount) < 0:
                yield p.invalid(where, amount, "must be greater than or equal to 0")
            elif not _is_standard(name) and quantity.to_millis(amount) % 1000:
                yield p.invalid(where, amount, "must be an integer")
    for name, amount in requests.items():
        where = f"{path}.requests"
        if name not in limits:
            if not _is_standard(name):
                yield p.required(f"{path}.limits", "Limit must be set for non overcommitable"
                                 " resources")  # fmt: skip
            continue
        asked, limit = quantity.parse(amount), quantity.parse(limits[name])
        if asked > limit:
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            yield p.invalid(where, amount, detail)
        elif asked != limit and not _is_standard(name):
            yield p.invalid(where, amount, f"must be equal to {name} limit of {limits[name]}")


def _is_standard(name: str) -> bool:
    """Whether fractions and requests below the limit are possible: not so for devices."""
    return name in _CONTAINER_RESOURCES or "kubernetes.io/" in name


def _container(
    container: Object, path: str, volumes: set[Any], *, init: bool
) -> Iterator[FieldError]:
    name = container.get("name") or ""
    if not name:
        yield p.required(f"{path}.name")
    else:
        yield from p.all_invalid(f"{path}.name", name, names.dns_label(name))
    image = container.get("image") or ""
    if not image:
        yield p.required(f"{path}.image")
    elif image != image.strip():
        yield p.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _ports(container.get("ports") or [], f"{path}.ports")
    yield from _environment(container, path)
    yield from _mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    yield from resources(container.get("resources") or {}, f"{path}.resources")
    yield from p.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL)
    yield from p.one_of(
        f"{path}.terminationMessagePolicy",
        container.get("terminationMessagePolicy"),
        ("File", "FallbackToLogsOnError"),
    )
    sidecar = init and container.get("restartPolicy") == "Always"
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(field)
        if probe is None:
            continue
        if init and not sidecar:
            yield p.forbidden(f"{path}.{field}", "may not be set for init containers without"
                              " restartPolicy=Always")  # fmt: skip
        yield from _probe(probe, f"{path}.{field}", once=field != "readinessProbe")
    for hook, action in (container.get("lifecycle") or {}).items():
        if isinstance(action, dict):
            yield from _handler(action, f"{path}.lifecycle.{hook}")


def _ports(ports: list[Object], path: str) -> Iterator[FieldError]:
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        if port.get("name"):
            yield from p.all_invalid(f"{where}.name", port["name"], names.port_name(port["name"]))
        if not port.get("containerPort"):
            yield p.required(f"{where}.containerPort")
        else:
            yield from port_number(port["containerPort"], f"{where}.containerPort")
        if port.get("hostPort"):
            yield from port_number(port["hostPort"], f"{where}.hostPort")
        yield from p.one_of(f"{where}.protocol", port.get("protocol"), _PROTOCOLS)
    yield from p.repeated(path + "[{}].name", [port.get("name") or None for port in ports])


def port_number(value: Any, path: str) -> list[FieldError]:
    if isinstance(value, int) and 1 <= value <= 65535:
        return []
    return [p.invalid(path, value, "must be between 1 and 65535, inclusive")]


def port_reference(value: Any, path: str) -> list[FieldError]:
    """A port by number or by name."""
    if isinstance(value, str):
        return p.all_invalid(path, value, names.port_name(value))
    return port_number(value, path)


def _host_ports(spec: Object, path: str) -> Iterator[FieldError]:
    seen = set()
    for index, container in enumerate(spec.get("containers") or ()):
        for at, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = (port["hostPort"], port.get("protocol"), port.get("hostIP") or "")
            if key in seen:
                where = f"{path}.containers[{index}].ports[{at}].hostPort"
                yield p.duplicate(where, f"{port.get('protocol')}/{key[2]}/{port['hostPort']}")
            seen.add(key)
            if spec.get("hostNetwork") and port["hostPort"] != port.get("containerPort"):
                where = f"{path}.containers[{index}].ports[{at}].containerPort"
                detail = "must match `hostPort` when `hostNetwork` is true"
                yield p.invalid(where, port.get("containerPort"), detail)


def _environment(container: Object, path: str) -> Iterator[FieldError]:
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        if not variable.get("name"):
            yield p.required(f"{where}.name")
        else:
            yield from p.all_invalid(
                f"{where}.name", variable["name"], names.env_name(variable["name"])
            )
        source = variable.get("valueFrom")
        if source is None:
            continue
        if len(source) != 1:
            detail = "must specify exactly one of: `fieldRef`, `resourceFieldRef`,"
            yield p.invalid(f"{where}.valueFrom", "", f"{detail} `configMapKeyRef`, `secretKeyRef`")
        if variable.get("value"):
            yield p.invalid(f"{where}.valueFrom", "", "may not be specified when `value` is not"
                            " empty")  # fmt: skip
        reference = source.get("fieldRef")
        if reference is not None:
            yield from _field_ref(reference, f"{where}.valueFrom.fieldRef")
    for index, source in enumerate(container.get("envFrom") or ()):
        kinds = [k for k in ("configMapRef", "secretRef") if source.get(k) is not None]
        if len(kinds) != 1:
            yield p.invalid(f"{path}.envFrom[{index}]", "", "must specify exactly one of:"
                            " `configMapRef` or `secretRef`")  # fmt: skip


def _field_ref(reference: Object, path: str) -> Iterator[FieldError]:
    field = reference.get("fieldPath") or ""
    if not field:
        yield p.required(f"{path}.fieldPath")
    elif field not in _FIELD_PATHS and not (
        field.startswith(("metadata.labels['", "metadata.annotations['")) and field.endswith("']")
    ):
        yield p.unsupported(f"{path}.fieldPath", field, _FIELD_PATHS)


def _mounts(mounts: list[Object], path: str, volumes: set[Any]) -> Iterator[FieldError]:
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        if not mount.get("name"):
            yield p.required(f"{where}.name")
        elif mount["name"] not in volumes:
            yield p.not_found(f"{where}.name", mount["name"])
        if not mount.get("mountPath"):
            yield p.required(f"{where}.mountPath")
        for field in ("subPath", "subPathExpr"):
            sub = mount.get(field) or ""
            if sub.startswith("/"):
                yield p.invalid(f"{where}.{field}", sub, "must be a relative path")
            elif ".." in sub.split("/"):
                yield p.invalid(f"{where}.{field}", sub, "must not contain '..'")
    paths = [m.get("mountPath") for m in mounts]
    for index, mount_path in enumerate(paths):
        if mount_path and mount_path in paths[:index]:
            yield p.invalid(f"{path}[{index}].mountPath", mount_path, "must be unique")


def _probe(probe: Object, path: str, *, once: bool) -> Iterator[FieldError]:
    yield from _handler(probe, path)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"):
        yield from p.at_least(f"{path}.{field}", probe.get(field), 0)
    if once and probe.get("successThreshold", 1) != 1:
        yield p.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(handler: Object, path: str) -> Iterator[FieldError]:
    given = [h for h in _HANDLERS if handler.get(h) is not None]
    if not given:
        yield p.required(path, "must specify a handler type")
    for extra in given[1:]:
        yield p.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    for kind in ("httpGet", "tcpSocket"):
        if kind in given:
            port = handler[kind].get("port")
            if port is None:
                yield p.required(f"{path}.{kind}.port")
            else:
                yield from port_reference(port, f"{path}.{kind}.port")
    if "httpGet" in given:
        scheme = handler["httpGet"].get("scheme")
        yield from p.one_of(f"{path}.httpGet.scheme", scheme, ("HTTP", "HTTPS"))
    if "exec" in given and not handler["exec"].get("command"):
        yield p.required(f"{path}.exec.command")


def _volumes(volumes: list[Object], path: str) -> Iterator[FieldError]:
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        name = volume.get("name") or ""
        if not name:
            yield p.required(f"{where}.name")
        else:
            yield from p.all_invalid(f"{where}.name", name, names.dns_label(name))
        sources = [k for k in volume if k != "name"]
        for extra in sources[1:]:
            yield p.forbidden(f"{where}.{extra}", "may not specify more than 1 volume type")
        for kind, field in (
            ("hostPath", "path"),
            ("persistentVolumeClaim", "claimName"),
            ("secret", "secretName"),
            ("configMap", "name"),
        ):
            source = volume.get(kind)
            if source is not None and not source.get(field):
                yield p.required(f"{where}.{kind}.{field}")
        host = (volume.get("hostPath") or {}).get("path") or ""
        if ".." in host.split("/"):
            yield p.invalid(f"{where}.hostPath.path", host, "must not contain '..'")
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size is not None and quantity.parse(size) < 0:
            yield p.forbidden(f"{where}.emptyDir.sizeLimit", "SizeLimit field must be a valid"
                              " resource quantity")  # fmt: skip
    yield from p.repeated(path + "[{}].name", [v.get("name") for v in volumes])


def _toleration(toleration: Object, path: str) -> Iterator[FieldError]:
    operator = toleration.get("operator") or "Equal"
    key = toleration.get("key") or ""
    if key:
        yield from p.all_invalid(f"{path}.key", key, names.label_key(key))
    elif operator != "Exists":
        yield p.invalid(f"{path}.operator", operator, "operator must be Exists when `key` is empty,"
                        " which means \"match all values and all keys\"")  # fmt: skip
    yield from p.one_of(f"{path}.operator", operator, ("Equal", "Exists", "Gt", "Lt"))
    value = toleration.get("value") or ""
    if operator == "Exists" and value:
        detail = "value must be empty when `operator` is 'Exists'"
        yield p.invalid(f"{path}.operator", toleration, detail)
    elif value:
        yield from p.all_invalid(f"{path}.value", value, names.label_value(value))
    if toleration.get("effect"):
        yield from p.one_of(f"{path}.effect", toleration["effect"], _EFFECTS)
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        yield p.invalid(f"{path}.effect", toleration.get("effect") or "",
                        "effect must be 'NoExecute' when `tolerationSeconds` is set")  # fmt: skip


def _affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    node = affinity.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    where = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    if required is not None and not required.get("nodeSelectorTerms"):
        yield p.required(where, "must have at least one node selector term")
    for index, term in enumerate((required or {}).get("nodeSelectorTerms") or ()):
        yield from _node_term(term, f"{where}[{index}]")
    preferred = node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    for index, item in enumerate(preferred):
        at = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        if not 1 <= (item.get("weight") or 0) <= 100:
            yield p.invalid(f"{at}.weight", item.get("weight"), "must be in the range 1-100")
        yield from _node_term(item.get("preference") or {}, f"{at}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        for index, term in enumerate(
            rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        ):
            at = f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}]"
            if not term.get("topologyKey"):
                yield p.required(f"{at}.topologyKey", "can not be empty")
            yield from label_selector(term.get("labelSelector"), f"{at}.labelSelector")


def _node_term(term: Object, path: str) -> Iterator[FieldError]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        key, operator = expression.get("key") or "", expression.get("operator") or ""
        values = expression.get("values") or []
        yield from p.all_invalid(f"{where}.key", key, names.label_key(key))
        if operator in ("In", "NotIn") and not values:
            yield p.required(f"{where}.values", "must be specified when `operator` is 'In' or"
                             " 'NotIn'")  # fmt: skip
        elif operator in ("Exists", "DoesNotExist") and values:
            yield p.forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists'"
                              " or 'DoesNotExist'")  # fmt: skip
        elif operator in ("Gt", "Lt") and len(values) != 1:
            yield p.required(f"{where}.values", "must be specified single value when `operator` is"
                             " 'Lt' or 'Gt'")  # fmt: skip
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
            yield p.invalid(f"{where}.operator", operator, "not a valid selector operator")


def label_selector(selector: Mapping[str, Any] | None, path: str) -> Iterator[FieldError]:
    """A LabelSelector object that is well formed."""
    try:
        selectors.label_selector(selector)
    except BadRequest as error:
        yield p.invalid(path, selector, error.message)
