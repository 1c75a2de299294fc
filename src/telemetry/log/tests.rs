use std::sync::mpsc::sync_channel;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// What a log told, without the stamps.
fn told(json: bool, least: Level, act: impl FnOnce(&OperatorLog)) -> Vec<String> {
    let text = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&text);
    let log =
        OperatorLog::start(json, least, move |line| sink.lock().unwrap().extend_from_slice(line)).unwrap();
    act(&log);
    assert!(log.shutdown(LONG));
    let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let stamp = if json { "{\"time\":\"" } else { "" }.len();
    text.lines().map(|line| line[stamp..].split_once('Z').unwrap().1.to_owned()).collect()
}

#[test]
fn text_lines_have_a_level_a_message_and_facts() {
    let lines = told(false, Level::Info, |log| {
        log.info("started");
        log.write(Level::Error, format_args!("no {}", "luck"), &[("upstream", &"a b"), ("tries", &3)]);
    });
    assert_eq!(lines, [" INFO  started", " ERROR no luck upstream=\"a b\" tries=\"3\""]);
}

#[test]
fn json_lines_are_objects() {
    let lines = told(true, Level::Info, |log| {
        log.write(Level::Warn, format_args!("a \"b\"\n"), &[("x", &"\\")]);
        log.error("c");
    });
    assert_eq!(
        lines,
        [r#"","level":"warn","message":"a \"b\"\n","x":"\\"}"#, r#"","level":"error","message":"c"}"#]
    );
}

#[test]
fn lesser_levels_are_left_out() {
    let lines = told(false, Level::Warn, |log| {
        log.info("no");
        log.write_seldom(Instant::now(), Level::Info, ("t", "n"), format_args!("no"), &[]);
        log.warn("yes");
        log.error("yes");
    });
    assert_eq!(lines, [" WARN  yes", " ERROR yes"]);
}

#[test]
fn a_line_is_one_line() {
    let lines = told(false, Level::Info, |log| log.warn("a\r\nFAKE\x1b[2J"));
    assert_eq!(lines, [r" WARN  a\r\nFAKE\u001b[2J"]);
}

#[test]
fn a_storm_is_told_once_and_counted() {
    let start = Instant::now();
    let lines = told(false, Level::Info, |log| {
        let fail = |now| {
            log.write_seldom(now, Level::Warn, ("upstream", "users"), format_args!("users failed"), &[]);
        };
        (0..1000).for_each(|_| fail(start));
        fail(start + REPEAT_EVERY);
    });
    assert_eq!(lines, [" WARN  users failed", " WARN  users failed (and 999 more like it)"]);
}

#[test]
fn a_sink_that_hangs_costs_lines_and_no_waiting() {
    let (word, heard) = sync_channel::<()>(0);
    let (tell, lines) = std::sync::mpsc::channel();
    let (begin, begun) = std::sync::mpsc::channel();
    let log = OperatorLog::start(false, Level::Info, move |line| {
        let _ = begin.send(());
        let _ = heard.recv();
        let _ = tell.send(String::from_utf8_lossy(line).into_owned());
    })
    .unwrap();
    log.info("the one that hangs");
    begun.recv_timeout(LONG).unwrap();
    let dropped = 7;
    (0..QUEUED + dropped).for_each(|number| log.info(number));
    assert_eq!(log.dropped.load(Ordering::Relaxed), dropped as u64);
    drop(word);
    for _ in 0..=QUEUED {
        lines.recv_timeout(LONG).unwrap();
    }
    log.info("again");
    assert!(log.shutdown(LONG));
    let last = lines.recv_timeout(LONG).unwrap();
    let (count, again) = last.split_once('\n').unwrap();
    assert!(count.ends_with(&format!("WARN  {dropped} log lines dropped")), "{count}");
    assert!(again.ends_with("INFO  again\n"));
}
