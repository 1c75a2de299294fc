use super::*;

fn identity(id: &str) -> Arc<Identity> {
    Arc::new(Identity {
        id: id.to_owned(),
        claims: crate::exchange::JsonValue::Object(Default::default()),
        scopes: vec![],
        method: "jwt",
        headers: vec![],
    })
}

fn token(number: usize) -> Vec<u8> {
    format!("header.payload.signature-{number:020}-of-so-many-characters").into_bytes()
}

fn id(cache: &TokenCache, token: &[u8]) -> Option<String> {
    cache.get(token).map(|(identity, _)| identity.id.clone())
}

#[test]
fn what_came_in_is_found_and_every_byte_is_compared() {
    let cache = TokenCache::new(160, 1 << 20);
    let token = token(1);
    assert_eq!(id(&cache, &token), None);
    cache.insert(&token, identity("a"), Times::default());
    assert_eq!(id(&cache, &token).as_deref(), Some("a"));
    for place in 0..token.len() {
        let mut other = token.clone();
        other[place] ^= 1;
        assert_eq!(id(&cache, &other), None, "byte {place}");
    }
    assert_eq!(id(&cache, &token[1..]), None);
    assert_eq!(id(&cache, b""), None);
}

#[test]
fn one_tail_holds_one_token() {
    let cache = TokenCache::new(160, 1 << 20);
    let (one, two) = ([b"1".as_slice(), &token(7)].concat(), [b"2".as_slice(), &token(7)].concat());
    cache.insert(&one, identity("one"), Times::default());
    cache.insert(&two, identity("two"), Times::default());
    cache.insert(&two, identity("again"), Times::default());
    assert_eq!((id(&cache, &one), id(&cache, &two).as_deref(), cache.len()), (None, Some("again"), 1));
}

#[test]
fn it_never_holds_more_than_its_bounds() {
    let by_count = TokenCache::new(160, 1 << 20);
    let by_bytes = TokenCache::new(100_000, 16 * 1000);
    for number in 0..5000 {
        for cache in [&by_count, &by_bytes] {
            cache.insert(&token(number), identity("x"), Times::default());
            if number % 3 == 0 {
                cache.get(&token(number));
            }
        }
    }
    assert!((1..=160).contains(&by_count.len()), "{}", by_count.len());
    assert!((1..=16 * 1000 / token(0).len()).contains(&by_bytes.len()), "{}", by_bytes.len());
    by_bytes.insert(&[b'x'; 1001], identity("too long"), Times::default());
    assert_eq!(id(&by_bytes, &[b'x'; 1001]), None);
    for shard in &by_bytes.shards {
        let shard = shard.0.lock().unwrap();
        assert_eq!(shard.bytes, shard.tokens.values().map(|entry| entry.token.len()).sum::<usize>());
        assert_eq!(shard.order.len(), shard.tokens.len());
    }
}

#[test]
fn a_token_in_use_outlives_others() {
    let cache = TokenCache::new(SHARDS * 4, 1 << 20);
    let kept = token(1_000_000);
    cache.insert(&kept, identity("kept"), Times::default());
    for number in 0..2000 {
        assert_eq!(id(&cache, &kept).as_deref(), Some("kept"), "after {number}");
        cache.insert(&token(number), identity("x"), Times::default());
    }
}
