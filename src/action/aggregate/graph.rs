//! Who waits for whom.

use crate::expression::Reference;

/// The places of the sources that these references read, each once, in the order written.
pub(super) fn needs<'a>(names: &[String], references: impl IntoIterator<Item = &'a Reference>) -> Vec<usize> {
    let mut needs: Vec<usize> = references
        .into_iter()
        .filter_map(|reference| match reference {
            Reference::Source(name) => names.iter().position(|other| other == name),
            _ => None,
        })
        .collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// A circle of sources that wait for each other, if there is one: the way round, from one of them back to before it.
pub(super) fn circle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        OnTheWay,
        Clear,
    }
    fn walk(at: usize, needs: &[Vec<usize>], seen: &mut [Seen], way: &mut Vec<usize>) -> Option<Vec<usize>> {
        match seen[at] {
            Seen::Clear => return None,
            Seen::OnTheWay => {
                let start = way.iter().position(|other| *other == at).unwrap_or(0);
                return Some(way[start..].to_vec());
            }
            Seen::Never => {}
        }
        seen[at] = Seen::OnTheWay;
        way.push(at);
        // A source waits for at most as many others as an aggregate may have: the way is short.
        for need in &needs[at] {
            if let Some(circle) = walk(*need, needs, seen, way) {
                return Some(circle);
            }
        }
        way.pop();
        seen[at] = Seen::Clear;
        None
    }
    let mut seen = vec![Seen::Never; needs.len()];
    (0..needs.len()).find_map(|at| walk(at, needs, &mut seen, &mut Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_told_from_their_own_beginning() {
        assert_eq!(circle(&[vec![], vec![0], vec![0, 1]]), None);
        assert_eq!(circle(&[vec![0]]), Some(vec![0]));
        assert_eq!(circle(&[vec![1], vec![2], vec![1]]), Some(vec![1, 2]));
    }
}
