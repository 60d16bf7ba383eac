# SPDX-License-Identifier: Apache-2.0
"""What an image brings along that the policy has not asked for: refused, and the operator told why."""
import pytest

from kit.broker import BASH, DATA_PATH, profile
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.data_path



@pytest.fixture(scope="module")
def image(engine):
    """The usual image, but it declares a volume."""
    with engine.image_made_of("sallyport-test/bash:latest", "VOLUME /data") as name:
        yield name


@pytest.fixture
def broker(fresh_broker, image, keys):
    tmp = {"tmpfs": "/tmp", "size": "1M"}
    mounts = {"bare": [tmp], "covered": [tmp, {"tmpfs": "/data", "size": "1M"}]}
    fresh_broker.policy.update(
        users={user: {"keys": keys.public()} for user in mounts},
        profiles={user: profile(image, argv=BASH, mounts=m) for user, m in mounts.items()},
        rules=[{"id": user, "if": {"user": [user]}, "use": user} for user in mounts])
    return fresh_broker.start()


def test_volume_that_the_image_declares(broker, engine):
    before = engine.run("volume", "ls", "-q").split()
    r = broker.target.ssh("echo never", user="bare")
    assert (r.returncode, r.stdout) == (255, b"")
    assert b"Tell the administrator" in r.stderr
    assert "the image declares a volume at /data; mount a tmpfs or a volume there" in broker.log()
    wait_for(lambda: engine.run("volume", "ls", "-q").split() == before, 20 * PATIENCE,
             "what was made is gone, with its volume")


def test_volume_with_something_in_its_place(broker):
    r = broker.target.ssh("touch /data/x && grep ' /data ' /proc/mounts", user="covered")
    assert r.returncode == 0, r.stderr
    assert r.stdout.startswith(b"tmpfs /data ")


@pytest.mark.skipif(DATA_PATH == "engine", reason="the kernel is asked on the direct data path")
@pytest.mark.parametrize("link,to", [("/data", "/etc"), ("/.sallyport", "/var")])
def test_link_where_something_is_mounted(fresh_broker, engine, link, to):
    """The engine follows it, and says that all is as asked: the image would decide what has which limits and is whose."""
    tmpfs = [{"tmpfs": path, "size": "1M"} for path in ("/tmp", "/data")]
    with engine.image_made_of("sallyport-test/busybox:latest", program=("/bin/busybox", "ln", "-s", to, link)) as image:
        for p in fresh_broker.policy["profiles"].values():
            p["container"].update(image=image, mounts=tmpfs)
        fresh_broker.start()
        r = fresh_broker.target.ssh("echo never", user="busy")
        assert (r.returncode, r.stdout) == (255, b"")
        assert f"the container is not confined as asked: nothing is mounted at {link}" in fresh_broker.log()
        wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the container is gone")
