use crate::pool::model::text::{abbreviated_list, pluralize};

#[test]
fn pluralize_has_the_number_of_more_than_one_and_of_none() {
    let runners = |n| pluralize(n, "1 runner", "runners");
    assert_eq!((runners(0), runners(1), runners(2)), ("0 runners".into(), "1 runner".into(), "2 runners".into()));
}

#[test]
fn abbreviated_list_names_five_and_counts_the_others() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(abbreviated_list(&names[..0]), "");
    assert_eq!(abbreviated_list(&names[..5]), "a, b, c, d, e");
    assert_eq!(abbreviated_list(&names[..6]), "a, b, c, d, e and 1 more");
    assert_eq!(abbreviated_list(&names), "a, b, c, d, e and 2 more");
}
