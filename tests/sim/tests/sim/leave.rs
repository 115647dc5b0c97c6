//! What keeps a cluster from leaving: pods that run, and what is still there.

use tombolo_engine::Engine;
use tombolo_plan::leave;
use tombolo_tests_sim::situations::document;
use tombolo_tests_sim::{UNIX_AT_ZERO, config};

#[test]
fn who_runs_and_what_is_left_is_named() {
    let sim = document();
    let world = sim.engine(0).world();
    assert!(leave::users(world).iter().any(|it| it == "net2/ubuntu"), "{:?}", leave::users(world));
    let left = leave::left(world);
    assert!(left.iter().any(|it| it.contains("Logical_Switch_Port") && it.contains("ubuntu")), "{left:?}");
    let engine = Engine::new(config(), UNIX_AT_ZERO);
    assert!(leave::users(engine.world()).is_empty() && leave::left(engine.world()).is_empty());
}
