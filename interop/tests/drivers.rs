//! The foreign peers with one another: what fails here is not ours.

#[tokio::test]
async fn ethereumjs_and_geth_understand_each_other() {
    let (Some(geth), Some(ethereumjs)) = (devp2p_interop::geth(), devp2p_interop::ethereumjs())
    else {
        return;
    };
    let mut geth = geth.server(&["-protocols", "itest"]).await;
    let mut ethereumjs = ethereumjs.peer(&[]).await;
    geth.dial(ethereumjs.node()).await;
    geth.added(ethereumjs.id()).await;
    ethereumjs.added(geth.id()).await;

    geth.begin_batch(ethereumjs.id(), "itest", 50, (1, 1024)).await;
    assert_eq!(geth.sent("itest").await.sha256, ethereumjs.received("itest").await.sha256);
    ethereumjs.echo(geth.id(), "itest", 1000).await;

    geth.disconnect(ethereumjs.id(), 4).await;
    let dropped = ethereumjs.dropped(geth.id()).await;
    assert_eq!((dropped.reason, dropped.by_remote), (Some(4), true));
    geth.stop().await;
    ethereumjs.stop().await;
}

#[tokio::test]
async fn ethereumjs_and_geths_find_one_another_from_a_bootnode() {
    let (Some(geth), Some(ethereumjs)) = (devp2p_interop::geth(), devp2p_interop::ethereumjs())
    else {
        return;
    };
    let flags = ["-discv4", "-protocols", "itest"];
    let mut boot = geth.server(&flags).await;
    let url = boot.node().to_enode();
    let mut geth = geth.server(&[&flags[..], &["-bootnode", &url]].concat()).await;
    let flags = ["--discv4", "--dial", "--bootnode", &url, "--refresh", "2000"];
    let mut ethereumjs = ethereumjs.peer(&flags).await;

    // Dials of one another can cross and undo each other; in the end all are connected.
    for id in [geth.id(), ethereumjs.id()] {
        boot.added(id).await;
        boot.table_when("they are in its table", |table| {
            table.iter().any(|known| known.id() == id)
        })
        .await;
    }
    geth.verified(boot.id()).await;
    ethereumjs.verified(geth.id()).await;
    ethereumjs.added(geth.id()).await;
}
