//! Numbers from many runs.

/// The smallest, the middle and the largest.
pub(crate) fn spread(values: impl Iterator<Item = usize>) -> (usize, usize, usize) {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return (0, 0, 0) };
    (first, values[values.len() / 2], last)
}

/// How many standard deviations these counts are from those of equal chances: the chi-square
/// statistic as a normal one (Wilson and Hilferty). Above 2.33 in one of 100 cases.
pub(crate) fn unevenness(counts: &[usize]) -> f64 {
    let freedom = counts.len() as f64 - 1.0;
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let squares = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected);
    let variance = 2.0 / (9.0 * freedom);
    ((squares.sum::<f64>() / freedom).cbrt() - (1.0 - variance)) / variance.sqrt()
}
