//! Places of which there are so many, and whose number can change.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle as Runtime;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

pub(super) struct Places {
    free: Arc<Semaphore>,
    /// How many there are, or will be once enough were given back.
    number: Mutex<usize>,
}

impl Places {
    pub(super) fn new(number: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(number)), number: Mutex::new(number) }
    }

    /// Waits for a place, which is free again when the answer is dropped.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.free).acquire_owned().await
    }

    /// Changes their number. Nobody loses a place: fewer there are only as they are given back.
    pub(super) fn resize(&self, wanted: usize, runtime: &Runtime) {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted >= *number {
            self.free.add_permits(wanted - *number);
        } else {
            let (free, less) = (Arc::clone(&self.free), *number - wanted);
            runtime.spawn(async move {
                // One at a time, so that whoever waits has a turn in between.
                for _ in 0..less {
                    let Ok(place) = free.acquire().await else { return };
                    place.forget();
                }
            });
        }
        *number = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fewer_places_take_effect_as_they_are_given_back_and_more_at_once() {
        let places = Places::new(2);
        let (first, second) = (places.take().await.unwrap(), places.take().await.unwrap());
        places.resize(1, &Runtime::current());
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(places.free.available_permits(), 0, "the first one is no place any more");
        drop(second);
        assert_eq!(places.free.available_permits(), 1);
        places.resize(3, &Runtime::current());
        assert_eq!(places.free.available_permits(), 3);
    }
}
