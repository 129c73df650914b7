use std::time::Duration;

use crate::pool::model::tick_record::{DueWork, TickRecord};
use crate::pool::tests::support::T0;

#[test]
fn sweep_is_due_each_ten_minutes_and_the_inventory_each_hour() {
    let mut record = TickRecord::default();
    let mut counts = (0, 0);
    for minute in 0..120 {
        let now = T0 + Duration::from_secs(60 * minute);
        let (due, begun) = TickRecord::from_record(&record.to_record()).due(now);
        assert_eq!(due.is_none(), begun == record, "what is begun is written down");
        counts = (counts.0 + u32::from(due.sweep), counts.1 + u32::from(due.inventory));
        record = begun;
    }
    assert_eq!(counts, (12, 2));
}

#[test]
fn tick_record_that_cannot_be_read_is_as_if_nothing_had_been_done() {
    let (due, _) = TickRecord::from_record("nonsense").due(T0);
    assert_eq!(due, DueWork { sweep: true, inventory: true });
}
