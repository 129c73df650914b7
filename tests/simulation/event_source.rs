//! The registrations table's stream as an event source of the function: batches in order, at least once, synchronous.
//!
//! Lanes stand for shards and for the batches that Lambda takes from a shard at the same time: a key stays in one of
//! them, and each has one batch under way. The mapping reports failures of single records, retries three times, and
//! gives up what is older than ten minutes; nothing of what it gives up comes again.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html>

use std::collections::VecDeque;
use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;
use serde_json::{Value, json};

use crate::history::Ending;
use crate::lambda::{Delivery, Origin};
use crate::world::{Due, World};

const LANES: usize = 3;
const BATCH_MAX: usize = 10;
/// `MaximumRetryAttempts`.
const RETRIES: u32 = 3;
/// `MaximumRecordAgeInSeconds`.
const RECORD_AGE_MAX: Duration = Duration::from_secs(600);

/// The stream and who reads it.
#[derive(Default)]
pub(crate) struct EventSource {
    lanes: [Lane; LANES],
    n_records: u64,
}

#[derive(Default)]
struct Lane {
    records: VecDeque<Record>,
    is_under_way: bool,
    next_poll: Option<Timestamp>,
    retries: u32,
}

#[derive(Clone)]
struct Record {
    key: String,
    event: &'static str,
    sequence: u64,
    written_at: Timestamp,
    readable_at: Timestamp,
}

/// Where a batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    lane: usize,
    n_records: usize,
    /// The same records are under way in another invocation, which counts.
    is_duplicate: bool,
}

impl EventSource {
    /// Whether anything is still to be delivered.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.records.is_empty())
    }
}

impl World {
    /// A write has changed the item of this key.
    pub(crate) fn stream_record(&mut self, key: &str, event: &'static str) {
        let late = self.between(0, 1_500);
        self.event_source.n_records += 1;
        let (sequence, now) = (self.event_source.n_records, self.now);
        let lane = key.bytes().map(usize::from).sum::<usize>() % LANES;
        let readable_at = now + late;
        let record = Record { key: key.to_owned(), event, sequence, written_at: now, readable_at };
        self.event_source.lanes[lane].records.push_back(record);
    }

    /// Lambda polls.
    pub(crate) fn event_source_step(&mut self) {
        for lane in 0..LANES {
            let it = &self.event_source.lanes[lane];
            let is_free = !it.is_under_way && it.next_poll.is_none_or(|at| at <= self.now);
            if !is_free || it.records.is_empty() {
                continue;
            }
            if !self.is_calm && self.once_in(60) {
                // The account's concurrency is used up; that counts as no attempt.
                self.occur("fault", "StreamThrottled");
                self.figures.fault("StreamThrottled");
                self.event_source.lanes[lane].next_poll = Some(self.now + self.between(1_000, 30_000));
                continue;
            }
            self.deliver_batch(lane);
        }
    }

    fn deliver_batch(&mut self, lane: usize) {
        let now = self.now;
        let it = &mut self.event_source.lanes[lane];
        let n_before = it.records.len();
        it.records.retain(|record| now.since(record.written_at) <= RECORD_AGE_MAX);
        let has_dropped = it.records.len() < n_before;
        let batch: Vec<Record> =
            it.records.iter().take_while(|record| record.readable_at <= now).take(BATCH_MAX).cloned().collect();
        it.is_under_way = !batch.is_empty();
        if has_dropped {
            self.occur("transition", "record of the stream grew too old");
        }
        if batch.is_empty() {
            return;
        }
        let records: Vec<Value> = batch.iter().map(record_of).collect();
        let of = |is_duplicate| {
            let origin = Origin::Stream(Batch { lane, n_records: batch.len(), is_duplicate });
            Box::new(Delivery { event: json!({ "Records": records }), tries: 0, first_at: now, origin })
        };
        let (batch, duplicate) = (of(false), of(true));
        let soon = now + self.between(20, 250);
        self.schedule(soon, Due::Deliver(batch));
        if !self.is_calm && self.once_in(15) {
            self.occur("fault", "DuplicateBatch");
            self.figures.fault("DuplicateBatch");
            let later = now + self.between(20, 3_000);
            self.schedule(later, Due::Deliver(duplicate));
        }
    }

    /// An invocation for a batch has ended, with this response if it returned.
    pub(crate) fn batch_ended(&mut self, batch: Batch, how: Ending, response: &Value) {
        if batch.is_duplicate {
            return;
        }
        let it = &mut self.event_source.lanes[batch.lane];
        it.is_under_way = false;
        let n_done = match how {
            Ending::Returned => n_done(it, batch.n_records, response),
            Ending::Failed | Ending::Killed | Ending::TimedOut | Ending::Crashed => 0,
        };
        it.records.drain(..n_done);
        if n_done == batch.n_records {
            it.retries = 0;
            return;
        }
        it.retries = if n_done > 0 { 1 } else { it.retries + 1 };
        let retries = it.retries;
        if retries > RETRIES {
            it.records.drain(..batch.n_records - n_done);
            it.retries = 0;
            self.occur("transition", "batch of the stream given up");
        } else {
            let pause = self.between(500, 2_000) * 2_u32.pow(retries);
            self.event_source.lanes[batch.lane].next_poll = Some(self.now + pause);
            let what = if n_done > 0 { "batch retried from its first failure" } else { "batch delivered again" };
            self.occur("transition", what);
        }
    }
}

/// Records of the batch before the lowest one that is said to have failed.
fn n_done(lane: &Lane, n_records: usize, response: &Value) -> usize {
    let Some(failures) = response["batchItemFailures"].as_array() else { return n_records };
    let sequence = |failure: &Value| failure["itemIdentifier"].as_str().and_then(|text| text.parse::<u64>().ok());
    let batch = || lane.records.iter().take(n_records);
    let failed: Vec<Option<u64>> = failures.iter().map(sequence).collect();
    // An identifier that is unknown makes the whole batch a failure.
    if failed.iter().any(|failed| !batch().any(|record| Some(record.sequence) == *failed)) {
        return 0;
    }
    let lowest = failed.into_iter().flatten().min();
    batch().take_while(|record| lowest.is_none_or(|lowest| record.sequence < lowest)).count()
}

fn record_of(record: &Record) -> Value {
    json!({
        "eventID": format!("{:032x}", record.sequence),
        "eventName": record.event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": record.written_at.epoch_millis() / 1000,
            "Keys": { "key": { "S": record.key } },
            "SequenceNumber": record.sequence.to_string(),
            "SizeBytes": record.key.len() + 3,
            "StreamViewType": "KEYS_ONLY",
        },
        "eventSourceARN":
            "arn:aws:dynamodb:eu-central-1:111122223333:table/github-runner-pool-registrations/stream/2027-01-15",
    })
}
