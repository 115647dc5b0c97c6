//! The admission webhook's knowledge: copies of the World, made by the loop and judged elsewhere.
//!
//! Decides how old a copy may be. In a small cluster a copy costs microseconds and each question gets a new one; in a large
//! one it costs milliseconds, so one serves all questions for [`SHARE`] times its cost: however many there are, the loop
//! spends no more than two in a hundred of its seconds on copying, and none on judging.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, oneshot};
use tombolo_plan::World;

/// A copy serves for so many times its cost.
const SHARE: u32 = 50;
/// How long the loop may take to answer before an older copy has to do.
const PATIENCE: Duration = Duration::from_millis(800);
/// An older copy than this doesn't count.
const OLD: Duration = Duration::from_secs(10);

/// A question to the loop, whose answer is `None` while too little is known.
pub type Ask = oneshot::Sender<Option<Copy>>;

/// A copy, and how long the loop took for it.
#[derive(Debug)]
pub struct Copy {
    world: Arc<World>,
    cost: Duration,
    at: Instant,
}

impl Copy {
    /// Copies the World.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let at = Instant::now();
        let world = Arc::new(world.clone());
        Self { world, cost: at.elapsed(), at }
    }
}

/// The judges' side.
#[derive(Debug)]
pub struct Knowledge {
    asks: mpsc::Sender<Ask>,
    last: Mutex<Option<Copy>>,
}

impl Knowledge {
    /// Asks the loop at the other end of `asks`.
    #[must_use]
    pub fn new(asks: mpsc::Sender<Ask>) -> Self {
        Self { asks, last: Mutex::new(None) }
    }

    /// The World as of a moment ago; `None` while too little is known.
    pub async fn now(&self) -> Option<Arc<World>> {
        let mut last = self.last.lock().await;
        if let Some(copy) = &*last
            && copy.at.elapsed() < copy.cost * SHARE
        {
            return Some(copy.world.clone());
        }
        let (answer, copy) = oneshot::channel();
        let asked = async {
            self.asks.send(answer).await.ok()?;
            copy.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(copy)) => *last = copy,
            // The loop has more to do: its last answer is better than none.
            _ if last.as_ref().is_some_and(|copy| copy.at.elapsed() < OLD) => {}
            _ => *last = None,
        }
        last.as_ref().map(|copy| copy.world.clone())
    }
}

#[cfg(test)]
mod tests {
    use tombolo_plan::{ClusterId, Config, Selector};

    use super::*;

    fn world() -> World {
        World::new(Config {
            cluster: ClusterId::new("c").unwrap(),
            default_subnet: String::new(),
            default_cidr: "10.0.0.0/8".parse().unwrap(),
            default_gateway: Vec::new(),
            default_exclude: Vec::new(),
            cluster_router: String::new(),
            join_subnet: String::new(),
            join_cidr: "100.64.0.0/16".parse().unwrap(),
            join_gateway: Vec::new(),
            service_cidr: None,
            enable_lb: true,
            external_vpcs: true,
            router_selector: Selector::default(),
            retention_secs: 0,
            take_over: false,
            leaving: false,
            port_security: false,
        })
    }

    #[tokio::test]
    async fn many_questions_cost_the_loop_one_copy() {
        let (asks, mut asked) = mpsc::channel::<Ask>(4);
        let knowledge = Arc::new(Knowledge::new(asks));
        let slow = || Copy { world: Arc::new(world()), cost: Duration::from_secs(1), at: Instant::now() };
        let loop_of_one_answer = tokio::spawn(async move {
            asked.recv().await.unwrap().send(Some(slow())).unwrap();
            asked // no answers from now on
        });
        for _ in 0..100 {
            assert!(knowledge.now().await.is_some());
        }
        let _asked = loop_of_one_answer.await.unwrap();
    }

    #[tokio::test]
    async fn a_busy_loop_is_not_waited_for_and_an_ignorant_one_is_believed() {
        let (asks, mut asked) = mpsc::channel::<Ask>(4);
        let knowledge = Knowledge::new(asks);
        let answers = tokio::spawn(async move {
            asked.recv().await.unwrap().send(Some(Copy::of(&world()))).unwrap();
            tokio::time::sleep(PATIENCE * 2).await; // a long turn
            while let Ok(ask) = asked.try_recv() {
                let _ = ask.send(None);
            }
            asked.recv().await.unwrap().send(None).unwrap();
        });
        assert!(knowledge.now().await.is_some());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(knowledge.now().await.is_some(), "the last copy does");
        tokio::time::sleep(PATIENCE * 2).await;
        assert!(knowledge.now().await.is_none(), "the NB is away");
        answers.await.unwrap();
    }
}
