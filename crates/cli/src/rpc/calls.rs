//! What is answered to a message, whatever it came over.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use jsonrpsee::{
    BoundedSubscriptions, ConnectionId, Extensions, MethodCallback, MethodResponse, MethodSink,
    Methods, SubscriptionState,
    core::traits::IdProvider,
    types::{ErrorCode, ErrorObjectOwned, Id, InvalidRequest, Params, Request, SubscriptionId},
};
use serde_json::{Value, value::RawValue};
use tokio::sync::{Notify, mpsc};

use super::params::{error, failed};

/// How many calls one batch may have, as in geth.
pub(super) const MAX_BATCH: usize = 1_000;

/// The longest answer, in bytes, to a call or a batch: 17 full buckets are 140 KiB.
pub(super) const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// How many subscriptions one client may have: there is one kind of them.
pub(super) const MAX_SUBSCRIPTIONS: u32 = 8;

/// geth's code for what is not there.
pub(super) const NOT_FOUND: i32 = -32601;

/// geth's code for a request that is none.
const INVALID_REQUEST: i32 = -32600;

/// What can be called, and how messages with calls are answered.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    methods: Methods,
    numbers: Arc<Numbers>,
}

/// Where a client gets what it has subscribed to.
#[derive(Debug)]
pub(super) struct Subscriber {
    id: ConnectionId,
    notifications: MethodSink,
    slots: BoundedSubscriptions,
    slow: Slow,
}

/// Told once notifications do not fit into the queue of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Slow(Arc<Notify>);

impl Slow {
    /// The client is too slow.
    pub(super) fn tell(&self) {
        self.0.notify_one();
    }

    /// Ends when the client is too slow.
    pub(super) async fn told(&self) {
        self.0.notified().await;
    }
}

impl Calls {
    pub(super) fn new(methods: impl Into<Methods>, numbers: &Arc<Numbers>) -> Self {
        Self { methods: methods.into(), numbers: Arc::clone(numbers) }
    }

    /// A client to which notifications go through this queue, and by what one learns that it is
    /// too slow.
    pub(super) fn subscriber(&self, queue: mpsc::Sender<Box<RawValue>>) -> (Subscriber, Slow) {
        let slow = Slow::default();
        let subscriber = Subscriber {
            id: ConnectionId(self.numbers.connections.fetch_add(1, Ordering::Relaxed)),
            notifications: MethodSink::new(queue),
            slots: BoundedSubscriptions::new(MAX_SUBSCRIPTIONS),
            slow: slow.clone(),
        };
        (subscriber, slow)
    }

    /// The answer to a message, a call or a batch of calls; none where it asks for none.
    pub(super) async fn answer(
        &self,
        message: &[u8],
        subscriber: Option<&Subscriber>,
    ) -> Option<Box<RawValue>> {
        let is_batch = message.trim_ascii_start().first() == Some(&b'[');
        if is_batch {
            self.answer_batch(message).await
        } else {
            self.answer_one(message, subscriber).await
        }
    }

    async fn answer_one(
        &self,
        message: &[u8],
        subscriber: Option<&Subscriber>,
    ) -> Option<Box<RawValue>> {
        if let Ok(request) = serde_json::from_slice::<Request<'_>>(message) {
            let response = self.call(request, subscriber).await;
            // The answer to a subscription went before its first notification.
            return (!response.is_subscription()).then(|| response.into_json());
        }
        if is_notification(message) {
            return None;
        }
        let response = match serde_json::from_slice::<InvalidRequest<'_>>(message) {
            Ok(request) => MethodResponse::error(request.id, invalid_request("invalid request")),
            Err(error) if error.is_data() => {
                MethodResponse::error(Id::Null, invalid_request("invalid request"))
            }
            Err(_) => MethodResponse::error(Id::Null, ErrorCode::ParseError),
        };
        Some(response.into_json())
    }

    /// Nobody can subscribe in a batch.
    async fn answer_batch(&self, message: &[u8]) -> Option<Box<RawValue>> {
        let refuse =
            |error: ErrorObjectOwned| Some(MethodResponse::error(Id::Null, error).into_json());
        let calls: Vec<&RawValue> = match serde_json::from_slice(message) {
            Ok(calls) => calls,
            Err(_) => return refuse(ErrorCode::ParseError.into()),
        };
        if calls.is_empty() {
            return refuse(invalid_request("empty batch"));
        }
        if calls.len() > MAX_BATCH {
            return refuse(invalid_request("batch too large"));
        }
        let mut answers = String::from("[");
        for call in calls {
            let Some(answer) = self.answer_one(call.get().as_bytes(), None).await else { continue };
            if answers.len() + answer.get().len() > MAX_ANSWER {
                return refuse(error(TOO_LARGE, "response too large"));
            }
            if answers.len() > 1 {
                answers.push(',');
            }
            answers.push_str(answer.get());
        }
        if answers.len() == 1 {
            return None;
        }
        answers.push(']');
        RawValue::from_string(answers).ok()
    }

    async fn call(&self, request: Request<'_>, subscriber: Option<&Subscriber>) -> MethodResponse {
        let Request { id, method, params, .. } = request;
        let params = Params::new(params.as_deref().map(RawValue::get));
        let Some(callback) = self.methods.method(&method) else {
            let why = format!("the method {method} does not exist/is not available");
            return MethodResponse::error(id, error(NOT_FOUND, why));
        };
        let extensions = Extensions::new();
        match (callback, subscriber) {
            (MethodCallback::Sync(call), _) => call(id, params, MAX_ANSWER, extensions),
            (MethodCallback::Async(call), _) => {
                let (id, params) = (id.into_owned(), params.into_owned());
                call(id, params, ConnectionId(0), MAX_ANSWER, extensions).await
            }
            (MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_), None) => {
                MethodResponse::error(id, error(NOT_FOUND, "notifications not supported"))
            }
            (MethodCallback::Subscription(subscribe), Some(to)) => {
                let Some(subscription_permit) = to.slots.acquire() else {
                    return MethodResponse::error(id, failed("too many subscriptions"));
                };
                let mut extensions = extensions;
                extensions.insert(to.slow.clone());
                let state = SubscriptionState {
                    conn_id: to.id,
                    id_provider: &*self.numbers,
                    subscription_permit,
                };
                subscribe(id, params, to.notifications.clone(), state, extensions).await
            }
            (MethodCallback::Unsubscription(unsubscribe), Some(to)) => {
                let response = unsubscribe(id.clone(), params, to.id, MAX_ANSWER, extensions);
                if was_subscribed(&response) {
                    return response;
                }
                MethodResponse::error(id, failed("subscription not found"))
            }
        }
    }

    /// The namespaces of the methods.
    pub(super) fn namespaces(methods: &Methods) -> BTreeSet<&'static str> {
        methods.method_names().filter_map(|name| Some(name.split_once('_')?.0)).collect()
    }
}

/// geth's code for answers above the limit.
const TOO_LARGE: i32 = -32003;

fn invalid_request(why: &str) -> ErrorObjectOwned {
    error(INVALID_REQUEST, why)
}

/// Whether it is a call without an id, to which nothing is said. geth does not make it either.
fn is_notification(message: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(message) else { return false };
    let field = |name| value.get(name).and_then(Value::as_str);
    value.get("id").is_none() && field("jsonrpc") == Some("2.0") && field("method").is_some()
}

/// What unsubscribing said.
fn was_subscribed(response: &MethodResponse) -> bool {
    let response: Option<Value> = serde_json::from_str(response.as_ref()).ok();
    response.is_some_and(|it| it.get("result") == Some(&Value::Bool(true)))
}

/// The numbers of connections and subscriptions. All ways in share them, for they share the module, by
/// which a subscription is known by these two numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    connections: AtomicUsize,
    subscriptions: AtomicU64,
}

/// Subscriptions are numbered as geth writes its random numbers. They mean something to the client
/// alone that has them.
impl IdProvider for Numbers {
    fn next_id(&self) -> SubscriptionId<'static> {
        let number = self.subscriptions.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        SubscriptionId::Str(format!("0x{number:x}").into())
    }
}
