//! What a text means.

use proptest::prelude::*;

use super::pattern::{matches, meet};
use super::*;

fn read(text: &str) -> Databases {
    text.parse().unwrap()
}

/// Which of these names a text means.
fn meant<'a>(text: &str, names: &[&'a str]) -> Vec<&'a str> {
    let Databases::Several(selection) = read(text) else {
        panic!("{text} means one")
    };
    let all = names.iter().copied();
    all.filter(|it| selection.has(it)).collect()
}

#[test]
fn a_name_without_special_characters_is_that_name_byte_for_byte() {
    for name in [
        "app",
        " app ",
        "a b",
        "ü",
        "a'b",
        "a/b",
        "a\\b",
        "%",
        "-",
        "a\"b",
        "it's \"x\"",
        "a!",
    ] {
        assert_eq!(read(name), Databases::One(name.to_owned()));
        assert_eq!(read(name).to_string(), name);
    }
}

#[test]
fn two_that_may_mean_one_database_share_it() {
    for (one, other, shares) in [
        ("app", "app", true),
        ("app", "shop", false),
        ("*", "app", true),
        ("*,!app", "app", false),
        ("\"*\"", "app*", false),
        ("app*", "*_eu", true),
        ("app*", "shop*", false),
        ("a?p*", "abc*", false),
        ("a*c", "?b?", true),
        ("a*", "*", true),
        ("a,b", "b,c", true),
        ("a,b", "c,d", false),
        ("a,shop*", "a*,!a", false),
        ("a,shop*", "a*", true),
    ] {
        let (one, other) = (read(one), read(other));
        assert_eq!(one.may_share(&other), shares, "{one} {other}");
        assert_eq!(other.may_share(&one), shares, "{other} {one}");
    }
}

proptest! {
    /// By the definition: some short text is meant by both.
    #[test]
    fn patterns_meet_where_a_text_is_meant_by_both(one in "[ab?*]{0,4}", other in "[ab?*]{0,4}") {
        let letters = ["", "a", "b"];
        let mut texts = vec![String::new()];
        for _ in 0..8 {
            texts = texts.iter().flat_map(|it| letters.map(|letter| format!("{it}{letter}"))).collect();
            texts.sort();
            texts.dedup();
        }
        let met = texts.iter().any(|it| matches(&one, it) && matches(&other, it));
        prop_assert_eq!(meet(&one, &other), met);
    }
}

#[test]
fn a_name_in_quotes_is_literal() {
    for (text, name) in [
        ("\"*\"", "*"),
        ("\"a\"\"b\"", "a\"b"),
        ("\"a,b\"", "a,b"),
        ("\"!a\"", "!a"),
        (" \"app\" ", "app"),
        ("\"app\",\"app\"", "app"),
    ] {
        assert_eq!(read(text), Databases::One(name.to_owned()), "{text}");
    }
}

#[test]
fn a_list_means_what_it_names_but_for_what_it_leaves_out() {
    let names = ["app", "app2", "apx", "shop", "test_1", "ü", "*", "a,b"];
    assert_eq!(meant("*", &names), names);
    assert_eq!(
        meant("*,!test_*", &names),
        ["app", "app2", "apx", "shop", "ü", "*", "a,b"]
    );
    assert_eq!(
        meant("!app,ap?, shop", &names),
        ["apx", "shop"],
        "left out wherever it stands"
    );
    assert_eq!(meant("?", &names), ["ü", "*"]);
    assert_eq!(meant("\"*\",shop", &names), ["shop", "*"]);
    assert_eq!(meant("*,!\"*\",!\"a,b\"", &names).len(), names.len() - 2);
    assert_eq!(meant("app*2", &names), ["app2"]);
}

#[test]
fn what_is_meant_by_name_and_what_means_nothing_is_known() {
    let Databases::Several(list) = read("shop,gone,x*,ap*,!shop") else {
        panic!()
    };
    assert_eq!(list.names().collect::<Vec<_>>(), ["gone"]);
    assert_eq!(list.idle_patterns(&["app"]), ["x*"]);
    assert!(list.has_patterns());
    assert_eq!(list.to_string(), "shop,gone,x*,ap*,!shop");
    let Databases::Several(list) = read("a,b,!b*") else {
        panic!()
    };
    assert!(!list.has_patterns());
}

#[test]
fn what_says_nothing_is_refused() {
    for (text, why) in [
        ("", Wrong::Empty),
        ("app,", Wrong::Empty),
        (",app", Wrong::Empty),
        ("a,,b", Wrong::Empty),
        ("!", Wrong::Empty),
        ("\"\"", Wrong::Empty),
        ("\"app", Wrong::Open),
        ("\"a\"\"", Wrong::Open),
        ("\"a\"b", Wrong::Behind),
        ("a\"b,c", Wrong::Within("a\"b".to_owned())),
        ("a!b,c", Wrong::Within("a!b".to_owned())),
        ("!!a,b", Wrong::Within("!a".to_owned())),
        ("!app", Wrong::OnlyLeftOut),
        ("!\"app\",!b*", Wrong::OnlyLeftOut),
    ] {
        assert_eq!(text.parse::<Databases>(), Err(why), "{text}");
    }
}

/// The same by its definition.
fn by_definition(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|at| by_definition(rest, &text[at..])),
        Some((own, rest)) => text.split_first().is_some_and(|(first, text)| {
            (*own == '?' || own == first) && by_definition(rest, text)
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_name_that_is_written_is_read_as_that_name_alone(name in "[ab*?,!\" ü\\n]{1,8}") {
        prop_assert_eq!(read(&written(&name)), Databases::One(name.clone()));
        let one = Databases::One(name.clone());
        prop_assert_eq!(read(&one.to_string()), one);
        // Beside others too, and where it is left out.
        let list = format!("x*,{}", written(&name));
        prop_assert_eq!(meant(&list, &[&name]), [name.as_str()]);
        let list = format!("*,!{}", written(&name));
        prop_assert!(meant(&list, &[&name]).is_empty());
    }

    #[test]
    fn whatever_is_read_is_written_so_that_it_is_read_again(text in "[ab*?,!\" ü]{0,12}") {
        if let Ok(read) = text.parse::<Databases>() {
            prop_assert_eq!(read.to_string().parse::<Databases>(), Ok(read));
        }
    }

    #[test]
    fn a_pattern_matches_what_its_definition_says(pattern in "[abü*?]{0,8}", text in "[abü*]{0,10}") {
        let by = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(matches(&pattern, &text), by_definition(&by(&pattern), &by(&text)));
    }
}
