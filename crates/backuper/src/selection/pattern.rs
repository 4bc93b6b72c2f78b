//! A pattern and a text.

/// Whether a text is what a pattern means: `*` is any text, `?` one character.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut read) = (0, 0);
    // The last star, and how far the text was read when it took its first character.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&own) if own == '?' || own == text[read] => {
                at += 1;
                read += 1;
            }
            // The last star takes one character more; what it took before fits whatever is in front of it.
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    at = place + 1;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|it| *it == '*')
}

/// Whether there is a text that both patterns mean.
pub(super) fn meet(one: &str, other: &str) -> bool {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    // What is left of the second one behind each of its places, for what is left of the first one.
    let mut meets = vec![false; other.len() + 1];
    for at in (0..=one.len()).rev() {
        let behind = meets.clone();
        for place in (0..=other.len()).rev() {
            let beyond = |it: &[bool]| it.get(place + 1).copied().unwrap_or_default();
            meets[place] = match (one.get(at), other.get(place)) {
                (None, None) => true,
                (Some('*'), Some('*')) => behind[place] || beyond(&meets),
                (Some('*'), own) => behind[place] || (own.is_some() && beyond(&meets)),
                (own, Some('*')) => beyond(&meets) || (own.is_some() && behind[place]),
                (Some(own), Some(its)) => {
                    (own == its || *own == '?' || *its == '?') && beyond(&behind)
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
    }
    meets[0]
}
