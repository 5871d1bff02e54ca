//! Whatever the network has.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::future::BoxFuture;

use super::{Gateway, GatewayError, Pcp, Pmp, Search, Upnp};

/// Finds a gateway of any kind: UPnP, and beside it NAT-PMP, then PCP. The first that answers is
/// taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyGateway;

impl Search for AnyGateway {
    fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
        Box::pin(first([Upnp::new().search(), pmp_or_pcp()]))
    }
}

/// A gateway that speaks PCP alone refuses NAT-PMP at once; one that speaks neither is silent.
fn pmp_or_pcp() -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
    Box::pin(async {
        match Pmp::default().search().await {
            Err(GatewayError::Refused(_)) => Pcp::default().search().await,
            found => found,
        }
    })
}

/// The first success, and otherwise the last error.
async fn first<T>(
    searches: [BoxFuture<'static, Result<T, GatewayError>>; 2],
) -> Result<T, GatewayError> {
    let mut searches = searches.map(Some);
    poll_fn(|cx| poll_first(&mut searches, cx)).await
}

fn poll_first<T>(
    searches: &mut [Option<BoxFuture<'static, Result<T, GatewayError>>>],
    cx: &mut Context<'_>,
) -> Poll<Result<T, GatewayError>> {
    let mut last = None;
    for search in searches.iter_mut() {
        let Some(Poll::Ready(result)) = search.as_mut().map(|search| search.as_mut().poll(cx))
        else {
            continue;
        };
        *search = None;
        match result {
            Ok(found) => return Poll::Ready(Ok(found)),
            Err(error) => last = Some(error),
        }
    }
    if searches.iter().any(Option::is_some) {
        return Poll::Pending;
    }
    Poll::Ready(Err(last.unwrap_or(GatewayError::NotFound)))
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        time::Duration,
    };

    use tokio::time::sleep;

    use super::*;

    fn after(
        seconds: u64,
        result: Result<u8, GatewayError>,
    ) -> BoxFuture<'static, Result<u8, GatewayError>> {
        Box::pin(async move {
            sleep(Duration::from_secs(seconds)).await;
            result
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_is_found_is_taken_and_a_failure_waits_for_the_other() {
        assert_eq!(first([Box::pin(pending()), after(1, Ok(2))]).await.unwrap(), 2);
        assert_eq!(first([after(1, Ok(1)), after(2, Ok(2))]).await.unwrap(), 1);
        let failed = || Box::pin(ready(Err(GatewayError::Timeout)));
        assert_eq!(first([failed(), after(3, Ok(2))]).await.unwrap(), 2);
        assert_eq!(first([after(3, Ok(1)), failed()]).await.unwrap(), 1);
        let none = first([failed(), after(2, Err(GatewayError::NotFound))]).await;
        assert!(matches!(none, Err(GatewayError::NotFound)), "the last");
        assert!(matches!(first::<u8>([failed(), failed()]).await, Err(GatewayError::Timeout)));
    }
}
