"""Where results go and where data comes from: genai-bench's options, volumes, and the variables
that carry what nobody should read.

Everything secret travels in the environment, from a Secret (``storage.key``) or, where somebody has
written it into ``parameters``, from there; never in a command line. A dataset in a bucket is
fetched by OME itself before genai-bench begins, which reads files only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ome.api import storage_uri
from ome.api.storage_uri import StorageURI, StorageURIError
from ome.apimachinery.objects import Object
from ome.rendering.errors import RenderError

RESULTS: Final = "/ome-benchmark/results"
DATASET: Final = "/ome-benchmark/dataset"
RESULTS_VOLUME: Final = "benchmark-output-storage"
DATASET_VOLUME: Final = "benchmark-dataset"
FETCH: Final = "dataset"
"""Name of the container that fetches a dataset."""
DATASET_VARIABLE: Final = "OME_BENCHMARK_DATASET"
"""What else is known of the dataset, as JSON: ``split`` and ``name``."""

SECRET_PARAMETERS: Final = {
    "security_token": "OCI_SECURITY_TOKEN",
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "azure_account_key": "AZURE_STORAGE_ACCOUNT_KEY",
    "azure_connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "azure_sas_token": "AZURE_STORAGE_SAS_TOKEN",
    "github_token": "GITHUB_TOKEN",
}
"""Parameters that are secret, and the variable that carries each."""
_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "oci": {
        "auth": "--auth",
        "config_file": "--config-file",
        "profile": "--profile",
        "region": "--region",
    },
    "s3": {"aws_profile": "--storage-aws-profile"},
    "az": {},
    "gs": {
        "gcp_project_id": "--storage-gcp-project-id",
        "gcp_credentials_path": "--storage-gcp-credentials-path",
    },
    "github": {},
}
_PROVIDERS: Final = {"s3": "aws", "az": "azure", "gs": "gcp", "github": "github"}
WRITABLE: Final = ("oci", "s3", "az", "gs", "github", "pvc", "local")
_MOUNTED: Final = ("pvc", "local")
_FETCHED: Final = ("s3", "gs", "az", "oci", "github")
READABLE: Final = ("hf", *_MOUNTED, *_FETCHED)
_FETCH_VARIABLES: Final = {
    **SECRET_PARAMETERS,
    "aws_region": "AWS_REGION",
    "region": "AWS_REGION",
    "endpoint": "AWS_ENDPOINT_URL",
    "gcp_credentials_path": "GOOGLE_APPLICATION_CREDENTIALS",
}
"""Parameters of a dataset, and what the command that fetches it reads."""
_UNSIGNED: Final = {
    "s3": "AWS_SKIP_SIGNATURE",
    "gs": "GOOGLE_SKIP_SIGNATURE",
    "az": "AZURE_SKIP_SIGNATURE",
}
_RIGHTS: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
}


@dataclass(frozen=True, slots=True)
class Fetcher:
    """How ``ome`` is called in a pod: in OME's own ``image``, or (on one machine) on the host."""

    image: str
    program: tuple[str, ...] = ("ome",)


@dataclass(frozen=True)
class Storage:
    """What one place for files adds to the command line and the pod."""

    arguments: tuple[str, ...] = ()
    env: tuple[Object, ...] = ()
    env_from: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = field(default=())
    before: tuple[Object, ...] = ()
    """Containers that do their work before the benchmark's begins."""


def output(spec: Mapping[str, Any], namespace: str, *, on_host: bool) -> Storage:
    """Of ``spec.outputLocation``. ``on_host``: paths of this machine may be used."""
    where = "spec.outputLocation"
    location = spec.get("outputLocation") or {}
    uri = _parsed(location, where)
    if uri.scheme not in WRITABLE:
        raise _cannot(where, uri, "can't be written", WRITABLE)
    secret = _secret(location)
    if uri.scheme in ("pvc", "local"):
        path = RESULTS if uri.scheme == "pvc" else f"/{uri.path.strip('/')}"
        volume, mount = _place(uri, where, RESULTS_VOLUME, path, namespace, on_host, write=True)
        return Storage(("--experiment-base-dir", path), (), secret, (volume,), (mount,))
    parameters: Mapping[str, str] = location.get("parameters") or {}
    arguments = [*_bucket(uri, parameters)]
    for name, option in _OPTIONS[uri.scheme].items():
        if name in parameters:
            arguments += [option, str(parameters[name])]
    arguments += _region(uri, parameters)
    known = dict(SECRET_PARAMETERS)
    if uri.scheme == "s3":
        known["endpoint"] = "AWS_ENDPOINT_URL"
    return Storage(tuple(arguments), _variables(parameters, known), secret)


def _variables(parameters: Mapping[str, str], known: Mapping[str, str]) -> tuple[Object, ...]:
    found = {known[name]: str(value) for name, value in parameters.items() if name in known}
    return tuple({"name": name, "value": value} for name, value in sorted(found.items()) if value)


def _bucket(uri: StorageURI, parameters: Mapping[str, str]) -> list[str]:
    if uri.scheme == "oci":
        named = ["--namespace", uri.namespace] if uri.namespace else []
        bucket = ["--storage-bucket", uri.container]
        prefix = ["--storage-prefix", uri.path] if uri.path else []
        return ["--upload-results", *named, *bucket, *prefix]
    head = ["--upload-results", "--storage-provider", _PROVIDERS[uri.scheme]]
    if uri.scheme == "github":
        # A release is genai-bench's bucket there.
        owner, _, repository = uri.container.partition("/")
        repo = ["--github-owner", owner, "--github-repo", repository]
        return [*head, "--storage-bucket", uri.revision, *repo]
    prefix = ["--storage-prefix", uri.path] if uri.path else []
    account = []
    if uri.scheme == "az":
        name = parameters.get("azure_account_name") or uri.account
        account = ["--storage-azure-account-name", name]
    return [*head, "--storage-bucket", uri.container, *prefix, *account]


def _region(uri: StorageURI, parameters: Mapping[str, str]) -> list[str]:
    if uri.scheme == "s3":
        region = parameters.get("aws_region") or uri.region
        return ["--storage-aws-region", region] if region else []
    if uri.scheme == "oci" and uri.region and "region" not in parameters:
        return ["--region", uri.region]
    return []


def dataset(
    spec: Mapping[str, Any], namespace: str, *, on_host: bool, fetcher: Fetcher | None = None
) -> Storage:
    """Of ``spec.dataset``; nothing where there is none. Parameters ``prompt_column`` and
    ``image_column`` say what is where, ``split`` and ``name`` which part is meant."""
    location = spec.get("dataset")
    if not location:
        return Storage()
    where = "spec.dataset"
    uri = _parsed(location, where)
    if uri.scheme not in READABLE:
        raise _cannot(where, uri, "genai-bench can't read", READABLE)
    parameters: Mapping[str, str] = location.get("parameters") or {}
    more = [
        word
        for name in ("prompt_column", "image_column")
        if parameters.get(name)
        for word in (f"--dataset-{name.replace('_', '-')}", str(parameters[name]))
    ]
    part = {name: str(parameters[name]) for name in ("name", "split") if parameters.get(name)}
    env: tuple[Object, ...] = ()
    if part:
        env = ({"name": DATASET_VARIABLE, "value": json.dumps(part, sort_keys=True)},)
    secret = _secret(location)
    if uri.scheme == "hf":
        name = f"{uri.container}/{uri.path}".strip("/").removeprefix("datasets/")
        return Storage(("--dataset-path", name, *more), env, secret)
    if uri.scheme in _FETCHED:
        return _fetched(uri, location, env, more, on_host, fetcher)
    folder, _, file = uri.path.strip("/").rpartition("/")
    mount_path = f"{DATASET}/data" if uri.scheme == "pvc" else f"/{folder}"
    holder = StorageURI(uri.scheme, uri.uri, uri.container, folder, namespace=uri.namespace)
    volume, mount = _place(
        holder, where, DATASET_VOLUME, mount_path, namespace, on_host, write=False
    )
    path = f"{mount_path.rstrip('/')}/{file}"
    return Storage(("--dataset-path", path, *more), env, secret, (volume,), (mount,))


def _fetched(
    uri: StorageURI,
    location: Mapping[str, Any],
    env: tuple[Object, ...],
    more: Sequence[str],
    on_host: bool,
    fetcher: Fetcher | None,
) -> Storage:
    """Brought by ``ome model download`` into a folder that goes with the pod. Its credentials are
    that container's alone: results may go to another account."""
    if fetcher is None:
        raise RenderError(
            "DatasetUnusable",
            f"nothing here can fetch {uri}: this operator does not know OME's own image",
            field="spec.dataset.storageUri",
            fix="set OME_IMAGE in the operator's environment, or use hf:// or pvc://",
        )
    path = f"{DATASET}/data"
    mount: Object = {"name": DATASET_VOLUME, "mountPath": DATASET}
    parameters: Mapping[str, str] = location.get("parameters") or {}
    variables = list(_variables(parameters, _FETCH_VARIABLES))
    if (parameters.get("auth") or "").lower() in ("anonymous", "none") and uri.scheme in _UNSIGNED:
        variables.append({"name": _UNSIGNED[uri.scheme], "value": "true"})
    container: Object = {
        "name": FETCH,
        "image": fetcher.image,
        "command": [*fetcher.program, "model", "download", uri.uri, path],
        "env": variables,
        "envFrom": list(_secret(location)),
        "volumeMounts": [mount],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if not on_host:
        container["securityContext"] = dict(_RIGHTS)
    volume: Object = {"name": DATASET_VOLUME, "emptyDir": {}}
    words = ("--dataset-path", path, *more)
    return Storage(words, env, (), (volume,), ({**mount, "readOnly": True},), (container,))


def _place(
    uri: StorageURI,
    where: str,
    volume: str,
    path: str,
    namespace: str,
    on_host: bool,
    *,
    write: bool,
) -> tuple[Object, Object]:
    """Volume and mount of a claim, or of a folder of this machine."""
    mount: Object = {"name": volume, "mountPath": path}
    if not write:
        mount["readOnly"] = True
    if uri.scheme == "local":
        if not on_host:
            raise RenderError(
                "OutputUnwritable" if write else "DatasetUnusable",
                f"{uri} is a folder of a node, which benchmarks of a cluster don't get at",
                field=f"{where}.storageUri",
                fix="use a volume claim (pvc://) or a bucket",
            )
        kind = "DirectoryOrCreate" if write else "Directory"
        return {"name": volume, "hostPath": {"path": path, "type": kind}}, mount
    if uri.namespace and uri.namespace != namespace:
        raise RenderError(
            "OutputUnwritable" if write else "DatasetUnusable",
            f"claim {uri.container} is in namespace {uri.namespace}, and pods of {namespace} "
            "can't mount it",
            field=f"{where}.storageUri",
            fix=f"run the benchmark in namespace {uri.namespace}, or use a claim of {namespace}",
        )
    if uri.path.strip("/"):
        mount["subPath"] = uri.path.strip("/")
    claim: Object = {"claimName": uri.container}
    if not write:
        claim["readOnly"] = True
    return {"name": volume, "persistentVolumeClaim": claim}, mount


def _parsed(location: Mapping[str, Any], where: str) -> StorageURI:
    try:
        return storage_uri.parse(str(location.get("storageUri") or ""))
    except StorageURIError as error:
        raise RenderError(
            "InvalidSpec", str(error), field=f"{where}.storageUri", fix="correct the URI"
        ) from error


def _cannot(where: str, uri: StorageURI, what: str, known: tuple[str, ...]) -> RenderError:
    return RenderError(
        "NotSupportedYet",
        f"{uri} {what}",
        field=f"{where}.storageUri",
        fix=f"use one of {', '.join(f'{scheme}://' for scheme in known)}",
    )


def _secret(location: Mapping[str, Any]) -> tuple[Object, ...]:
    """All of a Secret as variables, under the names that the clients of the stores read."""
    key = location.get("key")
    return ({"secretRef": {"name": key}},) if key else ()
