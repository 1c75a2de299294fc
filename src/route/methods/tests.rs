use super::*;

#[test]
fn lists_are_read_in_order() {
    assert_eq!(
        Methods::parse("POST,GET,PURGE"),
        Ok(Methods::Only(
            [Method::POST, Method::GET, Method::from_bytes(b"PURGE").unwrap()].into_iter().collect()
        ))
    );
}

#[test]
fn a_wrong_list_names_its_method() {
    assert_eq!(Methods::parse(""), Err(MethodsError::Token(String::new())));
    assert_eq!(Methods::parse("GET,,PUT"), Err(MethodsError::Token(String::new())));
    assert_eq!(Methods::parse("GET, PUT"), Err(MethodsError::Token(" PUT".to_owned())));
    assert_eq!(Methods::parse("get"), Err(MethodsError::Case("get".to_owned())));
    assert_eq!(Methods::parse("PUT,PUT"), Err(MethodsError::Twice("PUT".to_owned())));
    assert_eq!(
        MethodsError::Case("get".to_owned()).to_string(),
        "methods are written in capitals: `GET`, not `get`"
    );
}

#[test]
fn allow_is_the_union_of_all_rows() {
    let allow = |lists: &[&str]| {
        let rows: Vec<_> = lists
            .iter()
            .map(|list| if list.is_empty() { Methods::Any } else { Methods::parse(list).unwrap() })
            .collect();
        Methods::allow(rows.iter())
    };
    assert_eq!(&*allow(&["GET"]), "GET, HEAD");
    assert_eq!(&*allow(&["POST,PURGE", "DELETE,GET"]), "GET, HEAD, POST, DELETE, PURGE");
    assert_eq!(&*allow(&["HEAD"]), "HEAD");
    assert_eq!(&*allow(&[""]), USUAL.map(|method| method.to_string()).join(", "));
    assert_eq!(&*allow(&["", "PURGE"]), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, PURGE");
}
