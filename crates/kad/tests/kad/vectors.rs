//! Distances and lookups of others.

use devp2p_kad::{Id, Lookup, LookupConfig};
use serde_json::Value;

const DISTANCES: &str = include_str!("../vectors/distance.json");
const TESTNET: &str = include_str!("../vectors/lookup-testnet.json");

fn bytes(text: &Value) -> [u8; 32] {
    let text = text.as_str().unwrap();
    assert_eq!(text.len(), 64);
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}

#[test]
fn distances_are_those_of_the_specification() {
    let vectors: Value = serde_json::from_str(DISTANCES).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let (a, b) = (Id::new(bytes(&case["a"])), Id::new(bytes(&case["b"])));
        assert_eq!(a.distance(&b).as_bytes(), &bytes(&case["xor"]));
        assert_eq!(u64::from(a.log_distance(&b)), case["log2_distance"].as_u64().unwrap());
        assert_eq!(a.distance(&b), b.distance(&a));
    }
}

/// go-ethereum's lookup test: each node knows those that are one bit nearer to the target.
#[test]
fn a_lookup_finds_the_nearest_of_the_test_network() {
    let vectors: Value = serde_json::from_str(TESTNET).unwrap();
    let target = Id::new(bytes(&vectors["target_id"]));
    let at_distance = |distance: u16| -> Vec<Id> {
        let nodes = vectors["nodes_by_log_distance"].get(distance.to_string());
        let nodes = nodes.and_then(Value::as_array).into_iter().flatten();
        nodes.map(|node| Id::new(bytes(&node["node_id"]))).collect()
    };
    for distance in 251..=256 {
        assert!(at_distance(distance).iter().all(|id| id.log_distance(&target) == distance));
    }

    let first = at_distance(256)[0];
    let own = Id::new([0; 32]);
    let mut lookup = Lookup::new(LookupConfig::default(), own, target, [(first, ())]);
    while !lookup.is_finished() {
        let asked: Vec<_> =
            std::iter::from_fn(|| lookup.poll_request().map(|(id, ())| id)).collect();
        assert!((1..=3).contains(&asked.len()));
        for id in asked {
            let nearer = at_distance(id.log_distance(&target) - 1);
            lookup.handle_nodes(&id, nearer.into_iter().map(|id| (id, ())));
            lookup.handle_answered(&id);
        }
    }
    let found: Vec<_> = lookup.closest().map(|(id, ())| id).collect();
    let expected = vectors["closest_16"].as_array().unwrap();
    assert_eq!(found, expected.iter().map(|id| Id::new(bytes(id))).collect::<Vec<_>>());
}
