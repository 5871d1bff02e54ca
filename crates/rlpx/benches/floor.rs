use devp2p_rlpx::keccak::{Backend, Keccak256};
use std::{hint::black_box, time::Instant};
fn main() {
    for backend in Backend::available() {
        let mut k = Keccak256::new(backend);
        let data = vec![7u8; 136 * 1000];
        let mut best = f64::MAX;
        let mut bestd = f64::MAX;
        let mut b128 = f64::MAX;
        for _ in 0..50 {
            let t = Instant::now();
            k.update(black_box(&data));
            best = best.min(t.elapsed().as_nanos() as f64 / 1000.0);
            let t = Instant::now();
            for _ in 0..1000 {
                black_box(black_box(&k).digest());
            }
            bestd = bestd.min(t.elapsed().as_nanos() as f64 / 1000.0);
            k.update(&[0; 13]);
            let t = Instant::now();
            for _ in 0..1000 {
                k.update(black_box(&data[..16]));
            }
            b128 = b128.min(t.elapsed().as_nanos() as f64 / 1000.0);
        }
        println!("{backend:?} block {best:.1} digest {bestd:.1} update16 {b128:.1}");
    }
}
