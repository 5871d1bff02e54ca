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
