//! The quiz, from the first question to the result.

mod support;

use support::browser::Browser;
use support::{Root, Server, miod};

/// Two questions, with markup in every text.
const TWO: &str = r#"{"title": "T <i>", "questions": [
  {"text": "Q1 <b>?", "choices": ["a1 <b>", "b1 <b>"], "answer": 2, "explanation": "E1 <b>", "source": "S1 <b>"},
  {"text": "Q2?", "choices": ["a2", "b2", "c2"], "answer": 1, "explanation": "E2"}
]}"#;

fn serve(quiz: &str) -> Server {
    let root = Root::new();
    root.file("quiz.json", quiz);
    let path = root.at("quiz.json");
    Server::start_with(root, &["--apps", "--quiz", path.to_str().unwrap()])
}

fn choose(browser: &mut Browser<'_>, question: usize, choice: usize) {
    let response = browser.post("/quiz", &format!("question={question}&choice={choice}"));
    assert_eq!((response.status, response.field("location")), (303, Some("/quiz")), "{question}");
}

#[test]
fn the_built_in_quiz_can_be_finished_and_restarted() {
    let server = Server::start_with(Root::new(), &["--apps"]);
    let mut browser = Browser::new(&server);
    assert!(browser.get("/quiz").text().contains("Question 1 of 12"));
    assert_eq!(browser.cookie, None, "reading creates no session");
    for question in 1..=12 {
        let page = browser.get("/quiz").text();
        assert!(page.contains(&format!("Question {question} of 12")), "{page}");
        assert!(!page.contains("RFC") && !page.contains("POSIX"), "it reveals the source of the answer: {page}");
        let json = browser.json("/quiz").text();
        assert!(json.contains(&format!("\"question\":{question},\"of\":12")), "{json}");
        assert!(!json.contains("\"answer\"") && !json.contains("explanation"), "{json}");
        choose(&mut browser, question, 2);
    }
    let page = browser.get("/quiz").text();
    // The number of questions whose answer is 2.
    assert!(page.contains("<h1>3 of 12 right</h1>") && page.matches("RFC ").count() >= 10, "{page}");
    let json = browser.json("/quiz");
    assert_eq!(json.field("content-type"), Some("application/json"));
    assert!(json.text().contains("\"score\":3,\"of\":12,\"answers\":[{\"question\":"), "{}", json.text());
    let restart = browser.post("/quiz/restart", "");
    assert_eq!((restart.status, restart.field("location")), (303, Some("/quiz")));
    assert!(browser.get("/quiz").text().contains("Question 1 of 12"));
}

#[test]
fn an_answer_counts_only_once() {
    let server = serve(TWO);
    let mut browser = Browser::new(&server);
    choose(&mut browser, 2, 1);
    assert!(browser.json("/quiz").text().contains("\"question\":1,"), "an answer to a later question is ignored");
    choose(&mut browser, 1, 2);
    // The same form again, and an older form with another choice.
    choose(&mut browser, 1, 2);
    choose(&mut browser, 1, 1);
    assert!(browser.json("/quiz").text().contains("\"question\":2,\"of\":2,\"score\":1,"));
    choose(&mut browser, 2, 3);
    choose(&mut browser, 2, 1);
    assert!(browser.json("/quiz").text().contains("\"score\":1,\"of\":2,"));
    // Another browser has its own state.
    assert!(Browser::new(&server).json("/quiz").text().contains("\"question\":1,"));
}

#[test]
fn forms_json_and_links_are_equivalent() {
    let server = serve(TWO);
    for (line, lines, body) in [
        ("POST /quiz", "Content-Type: application/x-www-form-urlencoded\r\n", "question=1&choice=2"),
        ("POST /quiz", "Content-Type: application/json\r\n", r#"{"question": 1, "choice": 2}"#),
        ("POST /quiz", "Content-Type: application/json; charset=utf-8\r\n", r#"{"question": "1", "choice": "2"}"#),
        ("POST /quiz?question=1&choice=2", "Content-Length: 0\r\n", ""),
        ("GET /quiz?question=1&choice=2", "", ""),
        ("GET /quiz/?choice=2&question=1", "Sec-Fetch-Site: same-origin\r\n", ""),
    ] {
        let mut browser = Browser::new(&server);
        assert_eq!(browser.exchange(line, lines, body).status, 303, "{line} {body}");
        assert!(browser.json("/quiz").text().contains("\"question\":2,\"of\":2,\"score\":1,"), "{line} {body}");
    }
    for (line, lines, body, status) in [
        ("POST /quiz", "Content-Type: text/plain\r\n", "question=1&choice=2", 415),
        ("POST /quiz", "", "question=1&choice=2", 415),
        ("POST /quiz", "Content-Type: application/json\r\n", "question=1&choice=2", 400),
        ("POST /quiz", "Content-Type: application/json\r\n", "[1, 2]", 400),
        ("POST /quiz", "Content-Type: application/x-www-form-urlencoded\r\n", "question=1", 400),
        ("POST /quiz", "Content-Type: application/x-www-form-urlencoded\r\n", "question=1&choice=3", 400),
        ("POST /quiz", "Content-Type: application/x-www-form-urlencoded\r\n", "question=1&choice=0", 400),
        ("POST /quiz", "Content-Type: application/x-www-form-urlencoded\r\n", "question=x&choice=1", 400),
        ("POST /quiz", "Content-Length: 0\r\n", "", 400),
        ("GET /quiz?question=1", "", "", 400),
        ("GET /quiz?question=1&choice=2", "Sec-Fetch-Site: cross-site\r\n", "", 403),
        ("POST /quiz/restart", "Origin: http://elsewhere.example\r\nContent-Length: 0\r\n", "", 403),
        ("DELETE /quiz", "", "", 405),
        ("GET /quiz/restart", "", "", 405),
        ("GET /quiz/2", "", "", 404),
    ] {
        let mut browser = Browser::new(&server);
        assert_eq!(browser.exchange(line, lines, body).status, status, "{line} {body}");
        assert_eq!(browser.cookie, None, "{line} {body}");
    }
    // HEAD has the fields of GET, and counts as no answer.
    let mut browser = Browser::new(&server);
    let mut client = server.connect();
    client.send("HEAD /quiz?question=1&choice=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);
    assert!(browser.json("/quiz").text().contains("\"question\":1,"));
}

#[test]
fn texts_of_a_quiz_are_escaped() {
    let server = serve(TWO);
    let mut browser = Browser::new(&server);
    let mut pages = browser.get("/quiz").text();
    choose(&mut browser, 1, 1);
    choose(&mut browser, 2, 1);
    pages += &browser.get("/quiz").text();
    assert!(!pages.contains("<b>") && !pages.contains("<i>"), "{pages}");
    for text in ["T &#60;i&#62;", "Q1 &#60;b&#62;?", "a1 &#60;b&#62;", "E1 &#60;b&#62;", "S1 &#60;b&#62;"] {
        assert!(pages.contains(text), "{text}: {pages}");
    }
}

#[test]
fn a_malformed_quiz_is_reported_with_its_position_and_nothing_starts() {
    let root = Root::new();
    let path = root.at("quiz.json");
    for (quiz, expected) in [
        ("{\"title\": \"T\",\n  \"questions\": [}", "expected value at line 2 column 17"),
        ("{\"title\": \"T\", \"questions\": []}", "there are 0 questions"),
        ("", "at line 1 column 0"),
    ] {
        root.file("quiz.json", quiz);
        let output = miod().args(["-p", "0", "--quiz"]).arg(&path).arg(root.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{errors}");
        assert!(errors.contains(expected) && errors.contains("quiz.json: "), "{errors}");
    }
    let output = miod().args(["-p", "0", "--quiz"]).arg(root.at("none")).arg(root.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", String::from_utf8_lossy(&output.stderr));
}
