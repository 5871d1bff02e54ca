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
    types::{ErrorCode, ErrorObjectOwned, Id, Params, SubscriptionId},
};
use serde_json::{Value, value::RawValue};
use tokio::sync::{Notify, mpsc};

use super::{
    message::{Call, First},
    params::{error, failed},
};

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
        let call = match serde_json::from_slice::<Call<'_>>(message) {
            Ok(call) => call,
            Err(error) if error.is_data() => {
                return refused(None, invalid_request("invalid request"));
            }
            Err(_) => return refused(None, ErrorCode::ParseError.into()),
        };
        let id = call.usable_id();
        let method = match (call.method, call.id) {
            // To a call without an id nothing is said. geth does not make it either.
            (Some(_), None) => return None,
            (Some(method), Some(_)) if id.is_some() => method,
            _ => return refused(id, invalid_request("invalid request")),
        };
        // The library knows less kinds of ids than there are: it is put in afterwards then.
        let known = id.and_then(|id| serde_json::from_str::<Id<'_>>(id).ok());
        let is_known = known.is_some();
        let subscriber = subscriber.filter(|_| is_known);
        let response = self.call(known.unwrap_or(STAND_IN), &method, call.params, subscriber).await;
        // The answer to a subscription went before its first notification.
        if response.is_subscription() {
            return None;
        }
        let answer = response.into_json();
        if is_known { Some(answer) } else { with_id(&answer, id?) }
    }

    /// Nobody can subscribe in a batch.
    async fn answer_batch(&self, message: &[u8]) -> Option<Box<RawValue>> {
        let batch: First<'_, MAX_BATCH> = match serde_json::from_slice(message) {
            Ok(batch) => batch,
            Err(_) => return refused(None, ErrorCode::ParseError.into()),
        };
        if batch.items.is_empty() {
            return refused(None, invalid_request("empty batch"));
        }
        let mut answers = Answers::default();
        if batch.has_more {
            // geth's way: one answer, to the first call that wants one.
            let first = batch.items.iter().find_map(|call| wanted_id(call));
            answers.extend(refused(first, invalid_request("batch too large")));
            return answers.finish();
        }
        for call in batch.items {
            if answers.is_full {
                // Not made any more.
                let error = error(TOO_LARGE, "response too large");
                answers.extend(wanted_id(call).and_then(|id| refused(Some(id), error)));
                continue;
            }
            let Some(answer) = self.answer_one(call.get().as_bytes(), None).await else { continue };
            answers.is_full = answers.text.len().saturating_add(answer.get().len()) > MAX_ANSWER;
            let error = || error(TOO_LARGE, "response too large");
            let answer =
                if answers.is_full { refused(wanted_id(call), error()) } else { Some(answer) };
            answers.extend(answer);
        }
        answers.finish()
    }

    async fn call(
        &self,
        id: Id<'_>,
        method: &str,
        params: Option<&RawValue>,
        subscriber: Option<&Subscriber>,
    ) -> MethodResponse {
        let params = Params::new(params.map(RawValue::get));
        let Some(callback) = self.methods.method(method) else {
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

/// The id of a call that wants an answer.
fn wanted_id(call: &RawValue) -> Option<&str> {
    let call: Call<'_> = serde_json::from_str(call.get()).ok()?;
    call.usable_id()
}

/// An error in answer to the call with this id.
fn refused(id: Option<&str>, error: ErrorObjectOwned) -> Option<Box<RawValue>> {
    let answer = MethodResponse::error(STAND_IN, error).into_json();
    with_id(&answer, id.unwrap_or("null"))
}

/// An answer with another id.
fn with_id(answer: &RawValue, id: &str) -> Option<Box<RawValue>> {
    let rest = answer.get().strip_prefix(r#"{"jsonrpc":"2.0","id":0,"#)?;
    RawValue::from_string(format!(r#"{{"jsonrpc":"2.0","id":{id},{rest}"#)).ok()
}

/// The id of answers until they get theirs.
const STAND_IN: Id<'static> = Id::Number(0);

/// The answers to a batch.
#[derive(Debug, Default)]
struct Answers {
    text: String,
    /// No other answer fits.
    is_full: bool,
}

impl Answers {
    fn extend(&mut self, answer: Option<Box<RawValue>>) {
        let Some(answer) = answer else { return };
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
        self.text.push_str(answer.get());
    }

    /// All of them as a list; nothing where there is none.
    fn finish(mut self) -> Option<Box<RawValue>> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push(']');
        RawValue::from_string(self.text).ok()
    }
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
