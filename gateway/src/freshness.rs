//! The timer of the vendors' statements: looks again and again whose time has come, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use crate::collateral::Desk;
use crate::fleet::Fleet;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(30);

/// Keeps asking for the addresses of `fleet`; never resolves.
pub async fn keep(desk: Arc<Desk>, fleet: Arc<Fleet>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let appraisal = fleet.appraisal();
        let addresses = fleet.addresses().into_keys().collect();
        desk.refresh(&addresses, &appraisal.policy, fleet.clock().now().wall).await;
    }
}
