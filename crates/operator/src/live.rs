//! Objects read live, where a watch is late or can't see them. What is read stands in for the cached object.

use crate::{
    cache::Watched,
    clock,
    key::Key,
    kinds::Kind,
    requests::{Refused, Requests},
    shelf::Look,
};
use tokio::time::Instant;

#[derive(Clone)]
pub struct Live {
    requests: Requests,
}

impl Live {
    pub fn new(requests: Requests) -> Self {
        Self { requests }
    }

    /// Reads an object live and lets it stand in: the watch may be late, or blind to it for want of a label.
    pub async fn read<T: Kind>(&self, watched: &Watched<T>, name: &Key) -> Result<(), Refused> {
        match self.requests.get::<T>(name).await {
            Ok(Ok(found)) => watched.shelf().stand_in(found, Instant::now()),
            Ok(Err(unread)) => {
                watched.shelf().unreadable(unread, clock::now());
            }
            Err(refused) if refused.is_absent() => {
                watched.shelf().gone(name, Instant::now());
            }
            Err(refused) => return Err(refused),
        }
        Ok(())
    }

    /// The same, if a watch should have told of it long ago: what is cached is older than what this process knows itself. Whether
    /// that is so.
    pub async fn catch_up<T: Kind>(&self, watched: &Watched<T>, name: &Key) -> Result<bool, Refused> {
        let overdue = matches!(watched.shelf().look(name, Instant::now()), Look::Overdue);
        if overdue {
            self.read(watched, name).await?;
        }
        Ok(overdue)
    }

    /// A live read after a write that was refused as stale: the next look tells if it could not be read.
    pub async fn refresh<T: Kind>(&self, watched: &Watched<T>, name: &Key) {
        if let Err(refused) = self.read(watched, name).await {
            tracing::warn!(kind = T::KIND.as_str(), object = %name, error = %refused, "the object could not be read again");
        }
    }
}
