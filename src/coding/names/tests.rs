use super::*;

fn read(lines: &[&str]) -> Result<Vec<Coding>, String> {
    let mut headers = Headers::new();
    for line in lines {
        headers.append("content-encoding", line.as_bytes()).unwrap();
    }
    codings(&headers).map(|codings| codings.to_vec()).map_err(|error| error.to_string())
}

#[test]
fn names_are_read_in_any_case_and_in_the_order_they_were_applied() {
    assert_eq!(read(&[]), Ok(vec![]));
    assert_eq!(read(&["identity"]), Ok(vec![]));
    assert_eq!(read(&["GZip"]), Ok(vec![Coding::Gzip]));
    assert_eq!(read(&["x-gzip"]), Ok(vec![Coding::Gzip]));
    assert_eq!(read(&["deflate"]), Ok(vec![Coding::Deflate]));
    assert_eq!(read(&[" br , Identity,, zstd"]), Ok(vec![Coding::Brotli, Coding::Zstd]));
    assert_eq!(read(&["gzip", "br"]), Ok(vec![Coding::Gzip, Coding::Brotli]));
}

#[test]
fn what_cannot_be_undone_is_refused() {
    assert_eq!(read(&["compress"]), Err("unknown content coding \"compress\"".to_owned()));
    assert_eq!(read(&["gzip;q=1"]), Err("unknown content coding \"gzip;q=1\"".to_owned()));
    assert_eq!(read(&["gzip, br, gzip"]), Err("more than two content codings".to_owned()));
    let long = "x".repeat(100);
    assert_eq!(read(&[&long]), Err(format!("unknown content coding \"{}\"", &long[..32])));
}

#[test]
fn every_coding_is_found_by_its_own_name() {
    for coding in super::super::testing::ALL {
        assert_eq!(Coding::of(coding.name().as_bytes()), Some(coding));
    }
}
