//! Many who want the same at the same time are one request each document, with and without a cache.

use std::sync::Arc;

use teegate_collateral::Settings;
use teegate_forge::services::Vendor;

use crate::bench::{Subject, asking, fetcher, missing};

const MANY: usize = 8;

#[tokio::test]
async fn many_at_once_are_one_request() {
    let device = teegate_forge::snp();
    let subject = Subject::snp(&device);
    let folder = tempfile::tempdir().unwrap();
    for cache in [None, Some(folder.path().join("cache"))] {
        let kds = Arc::new(Vendor::start(device.kds_routes()));
        let settings = Settings { cache, ..asking(&[format!("kds={}", kds.url())]) };
        let (fetcher, _) = fetcher(settings);
        kds.hold();
        // All of them are polled before the server answers the first: it holds all answers until one request is there.
        let all = async {
            let one = || subject.complete(&fetcher);
            tokio::join!(one(), one(), one(), one(), one(), one(), one(), one())
        };
        let release = async {
            let kds = Arc::clone(&kds);
            tokio::task::spawn_blocking(move || {
                kds.wait_for_requests(1);
                kds.release();
            })
            .await
            .unwrap();
        };
        let (outcomes, ()) = tokio::join!(all, release);
        let (a, b, c, d, e, f, g, h) = outcomes;
        let outcomes = [a, b, c, d, e, f, g, h];
        assert_eq!(outcomes.len(), MANY);
        for outcome in outcomes {
            assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
        }
        assert_eq!(kds.requests().len(), 3, "{:?}", kds.requests());
    }
}
