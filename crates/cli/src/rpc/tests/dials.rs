use super::*;
use crate::clock;

#[tokio::test]
async fn dials_that_failed_are_told() {
    let (_handle, running, folder) = with_ipc(8).await;
    let mut ipc = Ipc::connect(&folder).await;
    let idle = json!({
        "maxDialed": 16, "dialed": 0, "wanted": 16, "dialing": [], "recent": [],
        "refusals": [], "filtered": 0,
    });
    assert_eq!(ipc.call("admin_dialStatus", json!([])).await, Ok(idle));

    // Nobody listens there any more.
    let gone = server(9).await;
    let enode = gone.node_info().enode;
    gone.stop().await;
    assert_eq!(ipc.call("admin_addPeer", json!([enode.to_enode()])).await, Ok(true.into()));
    let told = async {
        loop {
            let status = ipc.call("admin_dialStatus", json!([])).await.unwrap();
            if status["dialing"] == json!([]) && status["recent"] != json!([]) {
                return status["recent"].clone();
            }
        }
    };
    let recent = timeout(Duration::from_secs(10), told).await.expect("it has failed by now");
    let retry_in = recent[0]["retryIn"].as_u64().unwrap();
    assert!((26..=35).contains(&retry_in), "{retry_in}");
    let ago = recent[0]["ago"].clone();
    let record = json!({
        "id": enode.id().to_string(),
        "address": enode.tcp_addr().unwrap().to_string(),
        "kind": "static",
        "outcome": "no connection",
        "failures": 1,
        "ago": ago,
        "retryIn": retry_in,
    });
    assert_eq!(recent, json!([record]));
    assert!(ago.as_u64().unwrap() < 10);
    running.stop().await;
}

#[tokio::test]
async fn peers_that_are_gone_are_told_the_newest_first() {
    let (handle, running, folder) = with_ipc(10).await;
    let mut ipc = Ipc::connect(&folder).await;
    assert_eq!(ipc.call("admin_disconnects", json!([])).await, Ok(json!([])));
    let begun = clock::unix().as_secs();
    let mut addresses = Vec::new();
    for other in [11, 12] {
        let other = server(other).await;
        let node = other.node_info().enode;
        addresses.push((node.id().to_string(), node.tcp_addr().unwrap().to_string()));
        handle.add_peer(node.clone());
        let connected = async {
            while handle.peer_count() == 0 || other.peer_count() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), connected).await.unwrap();
        // One end is ours, the other is not.
        if addresses.len() == 1 {
            handle.remove_peer(node.id()).await;
        }
        other.stop().await;
        let gone = async {
            while handle.peer_count() > 0 {
                tokio::task::yield_now().await
            }
        };
        timeout(Duration::from_secs(10), gone).await.unwrap();
    }
    let mut ends = ipc.call("admin_disconnects", json!([])).await.unwrap();
    for end in ends.as_array_mut().unwrap() {
        let at = std::mem::take(&mut end["at"]);
        let earliest = super::super::times::rfc3339(Duration::from_secs(begun));
        assert!(at.as_str().unwrap() >= earliest.as_str(), "{at} is before {earliest}");
        assert!(end["age"].take().as_u64().unwrap() < 10);
    }
    let end = |at: usize, name: &str, reason: &str, side: &str| {
        let (id, address) = &addresses[at];
        json!({
            "id": id, "name": name, "remoteAddress": address, "inbound": false, "trusted": false,
            "static": at == 1, "age": null, "at": null, "reason": reason, "side": side,
            "error": null,
        })
    };
    let ours = end(0, "test-11", "disconnect requested", "local");
    assert_eq!(ends, json!([end(1, "test-12", "client quitting", "remote"), ours]));
    let dials = ipc.call("admin_dialStatus", json!([])).await.unwrap()["recent"].clone();
    assert_eq!(dials[0]["outcome"], "disconnected by the remote: client quitting");
    running.stop().await;
}
