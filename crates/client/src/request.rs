//! One request to the API server: its deadline, and what its refusal means.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// For one request.
const DEADLINE: Duration = Duration::from_secs(10);

/// The answer to a request. `doing`: the words for an error, such as `reading the ConfigMap x`.
///
/// # Errors
/// The API server's, or that it doesn't answer in time.
pub async fn within<T>(doing: &str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T> {
    let answer = tokio::time::timeout(DEADLINE, request).await;
    let answer = answer.with_context(|| format!("{doing}: no answer in {DEADLINE:?}"))?;
    answer.with_context(|| doing.to_owned())
}

/// Whether another writer was faster.
#[must_use]
pub fn is_conflict(error: &anyhow::Error) -> bool {
    code(error) == Some(409)
}

/// Whether the object isn't there.
#[must_use]
pub fn is_missing(error: &anyhow::Error) -> bool {
    code(error) == Some(404)
}

fn code(error: &anyhow::Error) -> Option<u16> {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[tokio::test]
    async fn refusals_differ() {
        let refused = |code: u16| async move {
            let status = Status { code, message: "m".to_owned(), ..Status::default() };
            within("writing x", async { Err::<(), _>(kube::Error::Api(Box::new(status))) }).await.unwrap_err()
        };
        assert!(is_conflict(&refused(409).await) && is_missing(&refused(404).await));
        assert!(!is_conflict(&refused(404).await));
    }
}
