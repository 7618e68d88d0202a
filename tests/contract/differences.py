"""Where crun 1.8.1 and runc 1.1.5 (Debian 12) do otherwise than this suite expects: findings, each with its reason.

Later versions may have changed; these tests are then reported as passing unexpectedly, which fails nothing.
"""

from __future__ import annotations

_CRUN = {
    "test_specs_for_such_users_run": "asks for a network namespace, and refuses the version that it writes",
    "test_a_delegated_cgroup_takes_limits": "leaves the cpuset of v1 without processors",
    "test_pause_in_a_delegated_cgroup": "leaves the cpuset of v1 without processors",
    "test_a_cgroup_that_is_asked_for_by_name_must_be_had": "says that it is not there",
    "test_limits_need_a_cgroup": "leaves limits out without a word",
    "test_a_container_goes_through_its_states": "says `error opening file …/status` for a container that is not there",
    "test_verbs_say_that_a_container_does_not_exist": "says `error opening file …/status`",
    "test_a_failure_is_one_line_in_the_json_log_and_plain_on_standard_error": "words a missing container otherwise",
    "test_state_is_the_document_of_the_specification": "gives rootfs as it is in config.json, not absolute",
    "test_list_has_ids_a_table_and_json": "the column of ids is called NAME",
    "test_list_of_a_root_that_is_not_there_fails": "makes the root that it is given",
    "test_kill_refuses_a_signal_that_is_none": "takes an unknown signal name for signal 0 and succeeds",
    "test_a_relative_pid_file_belongs_to_the_working_directory": "resolves it in the bundle",
    "test_options_may_follow_the_id": "reads options before arguments alone",
    "test_pause_and_resume": "resumes what is not paused",
    "test_a_descriptor_to_preserve_must_exist": "does not look",
    "test_the_containers_own_cgroup_is_what_a_cgroup_mount_shows": "the tmpfs over the hierarchies stays writable",
    "test_environment_is_the_containers_and_more": "-e replaces the container's environment",
    "test_user_and_groups": "has no --additional-gids",
    "test_capabilities_are_the_containers_and_more": "--cap replaces the container's capabilities",
    "test_no_new_privileges_is_the_containers": "only the flag sets it",
    "test_the_start_container_hook_runs_inside": "the state that the hook reads says `starting`",
    "test_a_failing_hook_fails_create_and_leaves_nothing": "exits with 255",
    "test_a_failing_poststart_hook_stops_the_container": "start succeeds and the container runs on (before 1.3 it may)",
    "test_the_payload_names_the_slave": "the payload is one space",
    "test_run_in_the_foreground_lends_our_terminal": "the size arrives some time after the program has begun",
    "test_a_hook_that_a_filter_kills_is_told_from_one_that_fails": "gives the exit code of the hook's shell",
    "test_a_path_is_masked_once_however_often_it_is_listed": "masks it as often as it is listed",
    "test_a_foreground_terminal_leaves_carriage_returns_to_ours": "leaves them to the container's terminal",
    "test_what_a_hook_says_before_it_fails_is_seen": "drops the output of the hook",
    "test_failures_of_its_own_are_255[crun]": "takes a relative --cwd",
    "test_an_attribute_that_is_named_makes_a_bind_forget_its_source[crun-options0-found0]": "forgets it in any case",
    "test_an_attribute_that_is_named_makes_a_bind_forget_its_source[crun-options1-found1]": "forgets it in any case",
    "test_a_user_namespace_keeps_what_is_locked": "opens sources outside, where nothing gets locked",
    "test_a_user_namespace_may_not_ask_for_what_is_locked": "opens sources outside, where nothing gets locked",
    "test_update_changes_what_is_given_and_nothing_else": "can't lift the limit on processes",
    "test_no_processes_at_all_count_as_one": "takes 0 for no limit",
    "test_update_of_a_stopped_container_is_refused": "says nothing",
    "test_update_takes_sizes_as_people_write_them": "knows no options behind the id",
    "test_exec_has_a_listener_of_its_own": "the state has no pid then",
    "test_without_an_agent_there_is_no_container": "words it otherwise",
    "test_write_may_not_be_asked_about": "does not look",
    "test_everything_may_not_be_asked_about": "does not look",
    "test_an_agent_that_nobody_asks_need_not_be_there": "connects to it all the same",
    "test_who_asks_says_whom": "runs the container, and the calls do not exist",
    "test_not_in_a_stopped_container": "exits with 1",
    "test_not_in_a_paused_container": "exits with 1",
}
_CRUN_ID_MAPS = {
    "test_exec_in_the_foreground_lends_our_terminal": "now and then the size arrives after the program has begun",
    "test_files_belong_to_whom_the_map_says": "mounts nothing that is beneath the source",
    "test_a_recursive_map_goes_all_the_way_down": "mounts nothing that is beneath the source",
    "test_users_and_groups_have_maps_of_their_own": "mounts nothing that is beneath the source",
    "test_in_a_user_namespace_the_owners_are_its_users": "mounts nothing that is beneath the source",
    "test_more_of_them_than_descriptors_may_be_open": "opens all of them at once",
}
_CRUN_MOUNTS = {
    "test_a_private_root_is_not_safe_without_pivot_root": "does it all the same",
    "test_a_recursive_word_goes_all_the_way_down": "forgets the attributes of the source, and refuses some words",
    "test_links_that_are_not_followed": "does not know nosymfollow",
    **{
        f"test_propagation[crun-{word}]": "leaves a new file system private"
        for word in (
            "shared-propagation0",
            "rshared-propagation1",
            "unbindable-propagation4",
            "runbindable-propagation5",
        )
    },
    **{
        f"test_a_word_for_a_new_file_system[crun-{word}]": "gives the word to the file system"
        for word in ("symfollow", "silent", "loud", "iversion", "noiversion")
    },
}
_RUNC_MOUNTS = {
    "test_what_is_not_json_is_an_error": "1.1.5 reads no further than the end of the object",
    "test_a_word_for_a_new_file_system[runc-defaults]": "1.1.5 gives the word to the file system",
    **{
        f"test_a_recursive_word_goes_all_the_way_down[runc-{word}]": "1.1.5 asks the kernel for nothing it could do"
        for word in ("ratime", "rnorelatime", "rnostrictatime")
    },
}
_RUNC = {
    "test_another_user_of_the_ranges": "1.1.5 sets no additional groups in a container of an ordinary user",
    "test_the_loopback_interface_is_up_again": "leaves it down",
    "test_an_unbindable_root_with_paths_to_protect": "binds them when nothing can be bound any more",
    "test_connections_locks_and_removed_files_need_their_options": "1.1.5 has no --link-remap",
    "test_once_more": "1.1.5 leaves exec outside of the restored clocks, and can't dump the container again",
    "test_exec_in_the_foreground_lends_our_terminal": "now and then the size arrives after the program has begun",
    "test_run_in_the_foreground_lends_our_terminal": "now and then the size arrives after the program has begun",
    "test_order_and_state": "1.1.5 runs poststart hooks in create, and says `creating` to those before",
    "test_a_failing_poststart_hook_stops_the_container": "1.1.5 runs poststart hooks in create",
    "test_a_failing_poststop_hook_is_only_a_warning": "1.1.5 does not run the hooks behind the one that fails",
    "test_an_attribute_that_is_named_makes_a_bind_forget_its_source[runc-options4-found4]": "1.1.5 keeps them then",
    "test_a_user_namespace_keeps_what_is_locked": "1.1.5 gives up",
    "test_a_user_namespace_may_not_ask_for_what_is_locked": "1.1.5 mounts it read-only without a word",
    "test_no_processes_at_all_count_as_one": "1.1.5 takes 0 for no limit",
    "test_a_path_is_masked_once_however_often_it_is_listed": "1.1.5 masks it as often as it is listed",
    "test_a_console_socket_may_have_a_long_path": "1.1.5 can't connect to more than 107 bytes",
    "test_list_of_a_root_that_is_not_there_fails": "1.1.5 prints an empty list",
}
_OF = {"crun": {**_CRUN, **_CRUN_ID_MAPS, **_CRUN_MOUNTS}, "runc": {**_RUNC, **_RUNC_MOUNTS}}


def of(name: str) -> str:
    """Why the test of that name (``test_x[runc-…]``) is expected to fail, "" when it is not."""
    function, _, parameters = name.partition("[")
    for runtime, known in _OF.items():
        if runtime in parameters.rstrip("]").split("-"):
            reason = known.get(name) or known.get(function)
            if reason:
                return f"{runtime}: {reason}"
    return ""
