//! "did you mean": the nearest of the known words.

/// The known word nearest to `word`, if one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(MAX_LENGTH).collect();
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let letters: Vec<char> = candidate.chars().take(MAX_LENGTH).collect();
        // A third of the letters may differ, so that short words do not suggest strangers.
        let allowed = (word.len().max(letters.len()) / 3).max(1);
        let same = same_letters(&word, &letters) || elsewhere(&word, candidate);
        let distance = if same { 0 } else { distance(&word, &letters) };
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The known word that differs from `word` only in case and in `-`, `_` or nothing between its parts.
pub(super) fn respelt<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |word: &str| -> Vec<char> { word.chars().take(MAX_LENGTH).collect() };
    let word = letters(word);
    known.into_iter().find(|candidate| same_letters(&word, &letters(candidate)))
}

/// Longer words are cut: nobody mistypes a name of this length by a letter, and the work stays bounded.
const MAX_LENGTH: usize = 64;

/// Words that others use for one of ours, and that no slip of the hand explains.
const ELSEWHERE: &[(&str, &str)] = &[
    ("max", "limit"),
    ("retries", "retry"),
    ("threshold", "consecutive"),
    ("circuit_breaker", "breaker"),
    ("load_balancing", "balance"),
    ("healthcheck", "health"),
    ("health_check", "health"),
    ("backends", "upstreams"),
    ("servers", "endpoints"),
    ("targets", "endpoints"),
    ("num_retries", "attempts"),
    ("on", "retry_on"),
    ("backend", "upstream"),
];

fn elsewhere(word: &[char], known: &str) -> bool {
    ELSEWHERE.iter().any(|(theirs, ours)| *ours == known && theirs.chars().eq(word.iter().copied()))
}

/// Whether two words differ only in case and in `-`, `_` or nothing between their parts.
fn same_letters(a: &[char], b: &[char]) -> bool {
    let fold = |word: &[char]| -> String {
        word.iter().filter(|c| !matches!(c, '-' | '_')).flat_map(|c| c.to_lowercase()).collect()
    };
    fold(a) == fold(b)
}

/// Damerau-Levenshtein distance in its restricted form: insert, delete, replace, swap two neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_of_the_hand() {
        let known = ["rewrite", "timeout", "policies", "upstream"];
        assert_eq!(nearest("rewrit", known), Some("rewrite"));
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("Up_Stream", known), Some("upstream"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn knows_words_from_elsewhere() {
        assert_eq!(nearest("max", ["max_keys", "limit", "window"]), Some("limit"));
        assert_eq!(nearest("max", ["window"]), None);
    }
}
