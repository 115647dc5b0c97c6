//! How the wires between engines, API server and database behave.

/// How the wires behave.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// Milliseconds that a message takes, from and to.
    pub latency: (u64, u64),
    /// Milliseconds more that an answer of the API server takes: watches then know before the writer does.
    pub answers_later: u64,
    /// Of a thousand writes, how many never reach the API server.
    pub api_lost: u64,
    /// Of a thousand writes, how many are done and their answer is lost.
    pub api_answer_lost: u64,
    /// Of a thousand transactions, how many never reach the database.
    pub nb_lost: u64,
    /// Of a thousand transactions, how many are done and their answer is lost.
    pub nb_answer_lost: u64,
    /// Of a thousand writes, how many are given up by the writer and done later.
    pub api_late: u64,
    /// Of a thousand writes, how many are done twice.
    pub api_repeated: u64,
    /// Of a thousand patches, how many are refused because the object changed.
    pub api_conflict: u64,
    /// Of a thousand messages of watches, how many come twice.
    pub watch_repeated: u64,
    /// Of a thousand messages over a real session, how many come in pieces.
    pub split: u64,
    /// Of a thousand connections, how many are refused.
    pub nb_refused: u64,
    /// Of ten thousand messages to a controller, after how many its process is killed and started again.
    pub crash: u64,
}

impl Default for Knobs {
    /// Each message takes a millisecond and arrives.
    fn default() -> Self {
        Knobs {
            latency: (1, 1),
            answers_later: 0,
            api_lost: 0,
            api_answer_lost: 0,
            nb_lost: 0,
            nb_answer_lost: 0,
            api_late: 0,
            api_repeated: 0,
            api_conflict: 0,
            watch_repeated: 0,
            split: 0,
            nb_refused: 0,
            crash: 0,
        }
    }
}
