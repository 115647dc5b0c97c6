//! Runs all cases: a test each, and one that no folder is forgotten.

use tombolo_tests_scenarios::{all, check};

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            run(&stringify!($name).replace('_', "-"));
        })*

        #[test]
        fn each_folder_is_a_test() {
            let mut tests = vec![$(stringify!($name).replace('_', "-")),*];
            tests.sort_unstable();
            assert_eq!(all().unwrap(), tests, "left: folders, right: tests");
        }
    };
}

fn run(case: &str) {
    let update = std::env::var_os("UPDATE").is_some_and(|it| it == "1");
    if let Err(error) = check(case, update) {
        panic!("{error:#}");
    }
}

cases! {
    default_install,
    document,
    dual_stack,
    external_gateway,
    finished_and_hostnetwork_pods,
    full_subnet,
    namespace_not_in_vpc,
    not_possible_on_neutron_router,
    overlap_with_neutron,
    re_homed_subnets,
    static_addresses,
    story_gateway_changed,
    story_names_and_networks_of_neutron,
    story_network_on_top,
    story_router_deleted_and_back,
    story_subnet_moves_to_another_router,
    story_vpc_deleted_by_a_user,
    two_routers_and_mtu,
    two_subnets_overlap,
    wishes_in_annotations,
}
