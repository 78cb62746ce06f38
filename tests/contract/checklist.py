"""Known defects of the earlier implementation and what must hold instead: which test holds each.

The numbers are those of the list that the project was built from. A line names the tests that fail
when the defect comes back; :mod:`tests.contract.test_checklist` sees to it that they exist.
"""

from __future__ import annotations

from typing import Final, NamedTuple

REVIEW = "tests/unit/admission/test_review.py"
PODS = "tests/unit/admission/test_pods.py"
HERE = "tests/contract/test_checklist.py"
EFFECTS = "tests/contract/effects_"


class Item(NamedTuple):
    number: int
    holds: str
    tests: tuple[str, ...]


DEFECTS: Final = (
    Item(1, "what is being deleted, and what gets no worse, is never refused",
         (f"{REVIEW}::test_an_object_that_is_being_deleted_or_gets_no_worse_always_passes",)),
    Item(2, "PDDisaggregated is a mode like the others",
         (f"{HERE}::test_a_service_that_says_pddisaggregated_is_rendered",)),
    Item(3, "the mode follows the spec, after migration too",
         (f"{REVIEW}::test_a_mode_given_by_hand_stays_and_a_derived_one_follows_the_spec",
          f"{REVIEW}::test_a_predictor_is_migrated_without_losing_anything",
          f"{HERE}::test_no_workers_is_one_deployment_and_the_annotation_says_so")),
    Item(4, "a runtime that a service names is looked at when it is applied",
         (f"{HERE}::test_a_named_runtime_that_can_not_serve_is_warned_about",)),
    Item(5, "kinds of references are honoured",
         ("tests/unit/selection/test_runtimes.py::"
          "test_a_named_runtime_needs_no_auto_select_and_its_kind_is_honoured",
          f"{EFFECTS}service.py::_two_models")),
    Item(6, "runtimes that tie are found by value",
         (f"{REVIEW}::test_missing_accelerator_classes_and_ties_are_warnings",
          f"{HERE}::test_a_runtime_does_not_tie_with_itself")),
    Item(7, "scenarios of benchmarks are matched as a whole",
         (f"{REVIEW}::test_benchmark_scenarios",)),
    Item(8, "no configuration makes admission fail",
         (f"{PODS}::test_no_configuration_makes_it_raise",
          f"{PODS}::test_a_typo_in_a_section_stops_only_pods_that_need_it")),
    Item(9, "mutating a pod twice is mutating it once, and the author's values stay",
         (f"{PODS}::test_mutation_is_idempotent_and_its_patch_leads_there",
          f"{PODS}::test_rdma_keeps_what_the_author_wrote")),
    Item(10, "every failure that is written is one that the schema takes",
         (f"{HERE}::test_every_failure_fits_into_the_schema_of_the_status",)),
    Item(11, "the sidecar is told a file",
         (f"{PODS}::test_the_sidecar_is_told_a_file_and_not_the_name_of_a_variable",
          f"{PODS}::test_missing_volumes_are_added_once")),
    Item(12, "volumes have legal names",
         ("tests/unit/api/test_names.py::"
          "test_volumes_are_dns_labels_and_keep_the_model_name_where_it_is_one",)),
    Item(13, "KEDA is checked wherever it is written, and its warnings arrive",
         (f"{REVIEW}::test_keda_is_checked_wherever_it_is_written",
          f"{HERE}::test_modes_of_authentication_without_a_reference_are_warned_about")),
    Item(14, "bounds of replicas never contradict",
         (f"{REVIEW}::test_replicas_get_defaults_that_never_contradict",)),
    Item(15, "long names of services work, and are warned about",
         (f"{HERE}::test_a_long_name_is_warned_about",
          "tests/unit/api/test_names.py::"
          "test_legacy_names_cut_and_new_ones_hash_only_where_the_old_would_cut")),
    Item(16, "Ready covers every component",
         ("tests/unit/api/test_conditions.py::test_ready_covers_every_component",)),
    Item(17, "what can't be looked up is no \"not found\"",
         ("tests/unit/admission/test_webhook.py::test_until_it_is_ready_it_answers_nothing",)),
    Item(18, "one migration, which loses nothing",
         (f"{REVIEW}::test_a_predictor_is_migrated_without_losing_anything",
          f"{EFFECTS}predictor.py::cases")),
    Item(19, "a class that is gone makes no runtime unchangeable",
         (f"{REVIEW}::test_missing_accelerator_classes_and_ties_are_warnings",)),
    Item(20, "leader and worker of runtimes are checked",
         (f"{REVIEW}::test_runtimes_that_contradict_themselves_are_refused",
          f"{HERE}::test_the_mode_of_an_older_runtime_and_its_workers_agree")),
    Item(21, "pods that ask for nothing need no configuration",
         (f"{PODS}::test_without_configuration_nothing_is_stamped",)),
    Item(22, "there is one set of manifests",
         ("tests/standalone/test_chart.py::test_the_committed_chart_is_what_the_manifests_give",
          "tests/standalone/test_chart.py::test_helm_renders_what_ome_install_applies")),
    Item(23, "RDMA comes in profiles and warns where it does nothing",
         (f"{PODS}::test_a_profile_of_the_configuration",
          f"{PODS}::test_a_misspelt_container_is_warned_about_even_with_an_unknown_profile",
          f"{PODS}::test_a_mount_of_the_same_volume_elsewhere_does_not_suppress_shared_memory")),
    Item(24, "scraping is switched on where it is asked for, and nothing empty is stamped",
         (f"{PODS}::test_scraping_points_prometheus_at_the_proxy",
          f"{PODS}::test_without_configuration_nothing_is_stamped")),
    Item(25, "limits of benchmarks are positive",
         (f"{EFFECTS}benchmarks.py::cases",)),
    Item(26, "models are checked",
         (f"{REVIEW}::test_models_from_nowhere_are_refused",
          f"{REVIEW}::test_model_paths_must_be_clean",
          f"{HERE}::test_moving_a_ready_model_is_warned_about")),
    Item(27, "an empty trainingJobRef, as older clients write it, is accepted",
         (f"{HERE}::test_an_empty_job_reference_means_none",)),
    Item(28, "defaults hold where no schema fills them in",
         (f"{HERE}::test_defaults_hold_without_a_schema",)),
    Item(29, "headers are spelled as they always were",
         (f"{HERE}::test_headers_keep_their_spelling",)),
    Item(30, "sizes are compared as numbers",
         (f"{HERE}::test_sizes_are_compared_as_numbers",
          "tests/unit/selection/test_versions.py::test_sizes_are_read")),
)  # fmt: skip

CHECKLIST: Final = (
    Item(1, "defaulting: mode, replicas",
         (f"{REVIEW}::test_the_deployment_mode_is_stamped",
          f"{REVIEW}::test_replicas_get_defaults_that_never_contradict")),
    Item(2, "migration can be switched off, and an engine that is there is left alone",
         (f"{HERE}::test_migration_can_be_switched_off_and_the_warning_stays",
          f"{HERE}::test_an_engine_that_is_there_is_not_replaced")),
    Item(3, "names, annotations and KEDA of services",
         (f"{REVIEW}::test_good_names_pass", f"{REVIEW}::test_bad_names_are_refused",
          f"{REVIEW}::test_scaling_annotations",
          f"{REVIEW}::test_keda_is_checked_wherever_it_is_written")),
    Item(4, "something to run, or a selection that is announced",
         (f"{REVIEW}::test_nothing_to_run_is_refused_and_a_complete_runner_is_enough",
          f"{REVIEW}::test_what_depends_on_the_order_of_applying_is_a_warning")),
    Item(5, "runtimes: workers, modes, classes, a disabled one, itself",
         (f"{HERE}::test_the_mode_of_an_older_runtime_and_its_workers_agree",
          f"{REVIEW}::test_missing_accelerator_classes_and_ties_are_warnings",
          f"{REVIEW}::test_runtimes_that_contradict_themselves_are_refused",
          f"{HERE}::test_a_runtime_does_not_tie_with_itself")),
    Item(6, "pods: what is added, once, in which order",
         (f"{PODS}::test_a_pod_of_nobody_of_ours_stays_as_it_is",
          f"{PODS}::test_a_container_of_the_name_stays_as_it_is",
          f"{PODS}::test_workload_identity_needs_a_service_account_and_its_token",
          f"{PODS}::test_a_pod_is_as_in_the_golden_file")),
)  # fmt: skip
