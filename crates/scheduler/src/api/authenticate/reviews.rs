//! Whose the tokens are that Kubernetes has issued. What it answers is kept for a short time, by the token's hash.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::domain::callers::{TokenHash, User, hash};
use crate::engine::{Error, Kind};

/// How long a token counts as its owner's after it was asked about: that long a revoked one is still let in.
const KNOWN: Duration = Duration::from_secs(30);
/// How long a token counts as nobody's.
const UNKNOWN: Duration = Duration::from_secs(10);
/// Answers that are kept.
const KEPT: usize = 1_024;
/// Questions at once, so that nobody floods the API server through us.
const AT_ONCE: usize = 8;
/// How long a question may wait for those before it.
const WAIT: Duration = Duration::from_secs(5);

/// Asks whose a token is; none: nobody's.
pub type Ask =
    Box<dyn Fn(SecretString) -> BoxFuture<'static, Result<Option<User>, Error>> + Send + Sync>;

/// What is asked about tokens, and what was answered.
pub struct Reviews {
    ask: Ask,
    answers: Mutex<HashMap<TokenHash, Answer>>,
    free: Semaphore,
}

struct Answer {
    user: Option<User>,
    until: Instant,
}

impl fmt::Debug for Reviews {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reviews").finish_non_exhaustive()
    }
}

impl Reviews {
    /// Asks like this.
    #[must_use]
    pub fn by(ask: Ask) -> Self {
        Self {
            ask,
            answers: Mutex::default(),
            free: Semaphore::new(AT_ONCE),
        }
    }

    /// Whose the token is.
    pub(super) async fn user(&self, token: &str) -> Result<Option<User>, Error> {
        // What is no JSON Web Token may be somebody's password, and is none of the cluster's business.
        if token.split('.').count() != 3 {
            return Ok(None);
        }
        let hash = hash(token);
        if let Some(user) = self.answered(&hash) {
            return Ok(user);
        }
        let free = tokio::time::timeout(WAIT, self.free.acquire()).await;
        let Ok(Ok(_place)) = free else {
            let why = "too many tokens are being asked about";
            return Err(Error::new(
                "ask whose token this is",
                Kind::Unavailable,
                why,
            ));
        };
        // Another call with the same token may have been before us.
        if let Some(user) = self.answered(&hash) {
            return Ok(user);
        }
        let user = (self.ask)(SecretString::from(token)).await?;
        self.keep(hash, user.clone());
        Ok(user)
    }

    fn answered(&self, hash: &TokenHash) -> Option<Option<User>> {
        let answers = self.answers();
        let answer = answers.get(hash).filter(|it| it.until > Instant::now())?;
        Some(answer.user.clone())
    }

    /// Where there are too many, those of nobody go first: whoever invents tokens drives out nobody's.
    fn keep(&self, hash: TokenHash, user: Option<User>) {
        let now = Instant::now();
        let mut answers = self.answers();
        if answers.len() >= KEPT {
            answers.retain(|_, it| it.until > now);
        }
        if answers.len() >= KEPT {
            answers.retain(|_, it| it.user.is_some());
        }
        if answers.len() >= KEPT {
            return;
        }
        let until = now + if user.is_some() { KNOWN } else { UNKNOWN };
        answers.insert(hash, Answer { user, until });
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<TokenHash, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Says that a token which begins with a name is that account's, and counts how often it is asked.
    fn counting() -> (Reviews, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let reviews = Reviews::by(Box::new(move |token| {
            use secrecy::ExposeSecret as _;
            count.fetch_add(1, Ordering::SeqCst);
            let name = token.expose_secret().split('.').next().unwrap_or_default();
            let user = (!name.is_empty()).then(|| User {
                name: name.to_owned(),
                groups: Vec::new(),
            });
            let answer = match name {
                "away" => Err(Error::new("ask", Kind::Unavailable, "nobody is there")),
                _ => Ok(user),
            };
            Box::pin(async move { answer })
        }));
        (reviews, asked)
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_less_than_a_minute_and_no_answer_is_not_kept() {
        let (reviews, asked) = counting();
        let asked = || asked.load(Ordering::SeqCst);
        for _ in 0..3 {
            let user = reviews.user("ci.a.b").await.unwrap();
            assert_eq!(user.unwrap().name, "ci");
        }
        assert_eq!(asked(), 1);
        for answer in reviews.answers().values_mut() {
            assert!(answer.until <= Instant::now() + KNOWN);
            answer.until = Instant::now();
        }
        reviews.user("ci.a.b").await.unwrap();
        assert_eq!(asked(), 2);
        for _ in 0..3 {
            assert_eq!(reviews.user(".a.b").await.unwrap(), None);
        }
        assert_eq!(asked(), 3);
        for _ in 0..3 {
            reviews.user("away.a.b").await.unwrap_err();
        }
        assert_eq!(asked(), 6);
        assert_eq!(reviews.user("hunter2").await.unwrap(), None);
        assert_eq!(asked(), 6, "a password is not shown to the cluster");
    }

    #[tokio::test]
    async fn invented_tokens_neither_grow_what_is_kept_nor_drive_out_a_known_one() {
        let (reviews, asked) = counting();
        reviews.user("ci.a.b").await.unwrap();
        for number in 0..3 * KEPT {
            reviews.user(&format!(".{number}.b")).await.unwrap();
            assert!(reviews.answers().len() <= KEPT);
        }
        let before = asked.load(Ordering::SeqCst);
        reviews.user("ci.a.b").await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), before);
    }
}
