import nethsm
import pytest


def test_the_sdk_lists_the_only_member_and_its_health(admin):
    (member,) = admin.list_cluster_members()
    assert 0 < int(member.id, 16) < 2**64
    assert (member.urls, member.learner) == ([], False)
    diagnosis = admin.get_cluster_diagnostics()
    assert diagnosis.state.running
    assert (diagnosis.logs, diagnosis.snapshot) == ([], None)


def test_the_sdk_is_told_that_there_is_no_cluster(admin):
    (member,) = admin.list_cluster_members()
    urls = ["https://192.0.2.2:2380"]
    data = nethsm.ClusterJoinData(
        members=[nethsm.InitialClusterMember(name="one", urls=urls)], joiner_kit="a2l0"
    )
    for change in (
        lambda: admin.add_cluster_member(urls),
        lambda: admin.set_cluster_member_urls(member.id, urls),
        lambda: admin.remove_cluster_member(member.id),
        lambda: admin.promote_cluster_member(member.id),
        lambda: admin.join_cluster(data, "backupPassphrase"),
    ):
        with pytest.raises(nethsm.NetHSMError, match="Precondition failed"):
            change()
    with pytest.raises(nethsm.NetHSMError):
        admin.remove_cluster_member("8e9e05c52164694d")
    with pytest.raises(nethsm.NetHSMError):
        admin.force_new_cluster()
