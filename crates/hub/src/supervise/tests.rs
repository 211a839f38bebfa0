//! The supervisor's rules, in simulated time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn lost() -> SourceError {
    SourceError::lost("it broke")
}

/// A camera that always runs, started.
fn running(policy: Policy) -> (Supervisor, Instant) {
    let now = Instant::now();
    let mut supervisor = Supervisor::new(policy);
    assert_eq!(supervisor.demand(true, now), Some(Action::Start));
    (supervisor, now)
}

fn retry_wait(supervisor: &Supervisor, now: Instant) -> Duration {
    match supervisor.state() {
        State::Lost { retry_at, .. } => *retry_at - now,
        other => panic!("not lost: {other:?}"),
    }
}

#[test]
fn waits_double_from_one_second_to_thirty() {
    let backoff = Backoff::default();
    let waits: Vec<u64> = (1..=7).map(|failures| backoff.wait(failures, 0.0).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(backoff.wait(u32::MAX, 0.0), 30 * SECOND);
    assert_eq!(backoff.wait(6, 1.0), Duration::from_millis(22_500), "jitter takes up to a quarter");
    assert_eq!(backoff.wait(1, 1.0), SECOND, "but never goes under the shortest");
}

#[test]
fn failures_in_a_row_wait_longer_and_ten_seconds_of_pictures_forgive_them() {
    let (mut supervisor, mut now) = running(Policy::default());
    for seconds in [1, 2, 4] {
        supervisor.ended(&lost(), now, 0.0);
        assert_eq!(retry_wait(&supervisor, now), seconds * SECOND);
        now += seconds * SECOND;
        assert_eq!(supervisor.tick(now, 0.0), Some(Action::Start));
    }
    assert_eq!(supervisor.restarts(), 3);
    supervisor.picture(now);
    supervisor.picture(now + 9 * SECOND);
    let mut short = Supervisor { state: supervisor.state.clone(), ..Supervisor::new(Policy::default()) };
    short.failures = supervisor.failures;
    short.ended(&lost(), now + 9 * SECOND, 0.0);
    assert_eq!(retry_wait(&short, now + 9 * SECOND), 8 * SECOND, "nine seconds are not enough");
    supervisor.picture(now + 10 * SECOND);
    supervisor.ended(&lost(), now + 11 * SECOND, 0.0);
    assert_eq!(retry_wait(&supervisor, now + 11 * SECOND), SECOND);
}

#[test]
fn a_silent_source_waits_the_shortest_however_often() {
    let (mut supervisor, mut now) = running(Policy::default());
    for _ in 0..10 {
        supervisor.ended(&SourceError::silent("nobody called"), now, 0.0);
        assert_eq!(retry_wait(&supervisor, now), SECOND);
        now += SECOND;
        assert_eq!(supervisor.tick(now, 0.0), Some(Action::Start));
    }
    supervisor.ended(&lost(), now, 0.0);
    assert_eq!(retry_wait(&supervisor, now), SECOND, "silence is no failure");
}

#[test]
fn a_refused_source_waits_the_longest_at_once() {
    let (mut supervisor, now) = running(Policy::default());
    supervisor.ended(&SourceError::refused("not installed"), now, 0.5);
    assert_eq!(retry_wait(&supervisor, now), 30 * SECOND);
}

#[test]
fn silence_is_a_loss_with_its_cause() {
    let (mut supervisor, now) = running(Policy::default());
    assert_eq!(supervisor.tick(now + 9 * SECOND, 0.0), None);
    supervisor.picture(now + 9 * SECOND);
    assert_eq!(supervisor.tick(now + 18 * SECOND, 0.0), None);
    assert_eq!(supervisor.tick(now + 19 * SECOND, 0.0), Some(Action::Stop));
    let State::Lost { cause, .. } = supervisor.state() else { panic!("not lost") };
    assert_eq!(&**cause, "no picture came for 10 s");
}

#[test]
fn an_on_demand_camera_lingers_after_its_last_viewer() {
    let policy = Policy { on_demand: true, ..Policy::default() };
    let start = Instant::now();
    let mut supervisor = Supervisor::new(policy);
    assert_eq!(supervisor.demand(false, start), None);
    assert_eq!(supervisor.deadline(), None, "idle costs nothing");
    assert_eq!(supervisor.demand(true, start), Some(Action::Start));
    supervisor.picture(start + SECOND);
    assert_eq!(supervisor.demand(false, start + 2 * SECOND), None);
    supervisor.picture(start + 8 * SECOND);
    assert_eq!(supervisor.demand(true, start + 9 * SECOND), None, "back in time: it never stopped");
    assert_eq!(supervisor.demand(false, start + 10 * SECOND), None);
    supervisor.picture(start + 19 * SECOND);
    assert_eq!(supervisor.tick(start + 19 * SECOND, 0.0), None);
    assert_eq!(supervisor.tick(start + 20 * SECOND, 0.0), Some(Action::Stop));
    assert_eq!(*supervisor.state(), State::Idle);
}

#[test]
fn a_lost_camera_nobody_wants_any_more_is_left_alone() {
    let (mut supervisor, now) = running(Policy { on_demand: true, ..Policy::default() });
    supervisor.ended(&lost(), now, 0.0);
    assert_eq!(supervisor.demand(false, now), None);
    assert_eq!(supervisor.tick(now + SECOND, 0.0), None);
    assert_eq!(*supervisor.state(), State::Idle);
    assert_eq!(supervisor.demand(true, now + 2 * SECOND), Some(Action::Start));
}

#[test]
fn a_viewer_who_leaves_before_the_first_picture_is_waited_for_all_the_same() {
    let (mut supervisor, now) = running(Policy { on_demand: true, ..Policy::default() });
    assert_eq!(supervisor.demand(false, now), None);
    supervisor.picture(now + SECOND);
    assert_eq!(supervisor.tick(now + 11 * SECOND, 0.0), Some(Action::Stop));
}
