"""What programs do to a library: fork, unload, end, use threads, outlive the server."""

import signal
import sys
import sysconfig
import textwrap
import threading
from pathlib import Path

import pytest

from tests.pkcs11.conftest import ROOT, Token, need
from tests.support.server import running_server

WITHOUT_A_REQUEST = """
from tests.pkcs11.bare import *
module = Module()
module.Initialize(None)
"""
BEGINNING = f"""{WITHOUT_A_REQUEST}
session = module.open()
key = module.find(session, b"EC_P256")
module.sign(session, key)
"""


JEMALLOC = Path(f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/libjemalloc.so.2")
FREES_A_PATH = """
#include <stdlib.h>
void wrong(void) { free(realpath("/usr", 0)); }
"""


def run(token: Token, program: str, *, beginning: str = BEGINNING, **more: str) -> str:
    script = beginning + textwrap.dedent(program)
    command = (sys.executable, "-c", script, token.module)
    return token.run(*command, PYTHONPATH=str(ROOT), **more)


def test_a_child_begins_anew_and_its_parent_goes_on(token):
    run(
        token,
        """
        import os
        child = os.fork()
        if child == 0:
            assert module.call("C_CloseSession", session) == NOT_INITIALIZED
            assert module.call("C_Finalize", None) == NOT_INITIALIZED
            module.Initialize(None)
            session = module.open()
            module.sign(session, module.find(session, b"EC_P256"))
            module.Finalize(None)
            os._exit(0)
        for _ in range(20):
            module.sign(session, key)
        assert os.waitpid(child, 0)[1] == 0
        module.sign(session, key)
        """,
    )


def test_a_child_that_is_made_during_calls_of_other_threads_does_not_hang(token):
    run(
        token,
        """
        import os, threading
        stop = threading.Event()
        def signs():
            own = module.open()
            while not stop.is_set():
                module.sign(own, key)
        threads = [threading.Thread(target=signs) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                assert module.call("C_Finalize", None) == NOT_INITIALIZED
                module.Initialize(None)
                module.open()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        """,
    )


def test_a_child_is_not_held_up_by_a_line_that_its_parent_is_still_writing(token):
    """Nobody reads the parent's standard error, so a thread of it waits while it writes a line."""
    token.settings["prefix"] = '"mine-"'
    run(
        token,
        """
        import os, signal, threading, time, warnings
        from pathlib import Path
        warnings.simplefilter("ignore")  # They would be written to the same place.
        def refused(session):
            wanted = Template({CKA_ID: b"other", 0x161: 32})
            how, made = ctypes.byref(Mechanism(0x1080, None, 0)), ctypes.byref(ULONG())
            return module.call(
                "C_GenerateKey", session, how, wanted.array, wanted.count, made)

        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        try:
            while True:
                os.write(writes, bytes(4096))
        except BlockingIOError:
            os.set_blocking(writes, True)
        real = os.dup(2)
        os.dup2(writes, 2)
        thread = threading.Thread(target=refused, args=(session,))
        thread.start()
        state = Path(f"/proc/self/task/{thread.native_id}/stat")
        for _ in range(20):
            while state.read_text().rpartition(")")[2].split()[0] != "S":
                time.sleep(0.01)
        child = os.fork()
        if child == 0:
            os.dup2(real, 2)
            module.Initialize(None)
            os._exit(refused(module.open(READ_WRITE)))
        end, ended = time.monotonic() + 60, (0, 0)
        while ended == (0, 0) and time.monotonic() < end:
            ended = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        os.dup2(real, 2)
        if ended == (0, 0):
            os.kill(child, signal.SIGKILL)
        os.set_blocking(reads, False)
        while thread.is_alive():
            try:
                os.read(reads, 4096)
            except BlockingIOError:  # It has written its line, and has not ended yet.
                time.sleep(0.01)
        assert ended == (child, 0x13 << 8), ended
        """,
        beginning=WITHOUT_A_REQUEST + "session = module.open(READ_WRITE)\n",
    )


def test_a_process_that_becomes_another_program_takes_no_connection_along(token):
    """It does so while threads sign: in the place of its parent, and as a child."""
    run(
        token,
        """
        import os, threading
        def signs():
            own = module.open()
            while True:
                module.sign(own, key)
        for _ in range(4):
            threading.Thread(target=signs, daemon=True).start()
        links = {os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")
                 if os.path.exists(f"/proc/self/fd/{each}")}
        assert any(link.startswith("socket:") for link in links), links
        again = '''
        import os
        for each in os.listdir("/proc/self/fd"):
            try:
                assert not os.readlink(f"/proc/self/fd/{each}").startswith("socket:")
            except FileNotFoundError:
                pass  # The folder itself.
        '''
        again = textwrap.dedent(again) + BEGINNING
        command = [sys.executable, "-c", again, sys.argv[1]]
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os.execv(command[0], command)
            assert os.waitpid(child, 0)[1] == 0
        os.execv(command[0], command)
        """,
        beginning=f"import sys, textwrap\nBEGINNING = {BEGINNING!r}\n{BEGINNING}",
    )


@pytest.mark.parametrize("end", ["", "module.Finalize(None)", "import os; os._exit(0)"])
def test_a_program_may_end_or_unload_at_any_time(token, end):
    run(token, end)
    unload = "import _ctypes; _ctypes.dlclose(module.library._handle)"
    run(token, f"{end if 'exit' not in end else ''}\n{unload}")


def test_a_program_may_finalize_and_initialize_again_and_again(token):
    run(
        token,
        """
        for _ in range(5):
            module.Finalize(None)
            module.Initialize(None)
            session = module.open()
            module.sign(session, module.find(session, b"EC_P256"))
        """,
    )


def test_threads_may_finalize_and_initialize_during_calls_of_others(token):
    """A call fails then, with an error that says why, and the next beginning works."""
    run(
        token,
        """
        import threading
        GONE = {0, 0x60, 0x82, 0x90, 0x91, 0xB3, NOT_INITIALIZED, 0x191}
        seen, stop = set(), threading.Event()

        def ends():
            for _ in range(100):
                seen.add(module.call("C_Finalize", None))
                seen.add(module.call("C_Initialize", None))

        def signs():
            room, opened = ctypes.create_string_buffer(64), ULONG()
            how, where = ctypes.byref(Mechanism(CKM_ECDSA, None, 0)), ctypes.byref(opened)
            while not stop.is_set():
                length = ctypes.byref(ULONG(64))
                seen.add(module.call("C_OpenSession", ULONG(0), ULONG(SERIAL), None, None, where))
                seen.add(module.call("C_SignInit", opened, how, key))
                seen.add(module.call("C_Sign", opened, bytes(32), ULONG(32), room, length))

        threads = [threading.Thread(target=signs) for _ in range(3)]
        enders = [threading.Thread(target=ends) for _ in range(2)]
        for thread in threads + enders:
            thread.start()
        for thread in enders:
            thread.join()
        stop.set()
        for thread in threads:
            thread.join()
        assert seen <= GONE, [hex(one) for one in seen - GONE]
        module.call("C_Initialize", None)
        session = module.open()
        module.sign(session, module.find(session, b"EC_P256"))
        module.Finalize(None)
        """,
    )


def test_threads_share_the_module(token):
    run(
        token,
        """
        import threading
        made = []
        def signs():
            own = module.open()
            made.extend(module.sign(own, key) for _ in range(50))
        threads = [threading.Thread(target=signs) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(made)) == 400
        """,
    )


def test_the_module_frees_nothing_that_another_allocator_has_given(
    token: Token, tmp_path: Path
) -> None:
    """BIND 9.20 allocates with jemalloc, and OpenSSL's provider loads the module with its own libc
    first (RTLD_DEEPBIND): then libc's functions allocate with jemalloc, and the module frees with
    libc. The first program, which frees a path of libc's, shows that it is so here.
    """
    need("cc")
    if not JEMALLOC.exists():
        pytest.skip("libjemalloc2 is not installed")
    source, wrong = tmp_path / "wrong.c", tmp_path / "wrong.so"
    source.write_text(FREES_A_PATH)
    token.run("cc", "-shared", "-fPIC", "-o", wrong, source)
    load = "import ctypes, os, sys\nlibrary = ctypes.CDLL(sys.argv[1], mode=os.RTLD_DEEPBIND | 2)"
    command = (sys.executable, "-c", f"{load}\nlibrary.wrong()", wrong)
    token.run(*command, accept=(-signal.SIGABRT, -signal.SIGSEGV), LD_PRELOAD=str(JEMALLOC))
    # By its name, so that the address is looked up too.
    token.settings["instances"] = f'["https://localhost:{token.server.port}"]'
    program = """
    import threading
    for _ in range(2):
        arguments = [(module.open(), key) for _ in range(4)]
        signing = [threading.Thread(target=module.sign, args=each) for each in arguments]
        for thread in signing:
            thread.start()
        for thread in signing:
            thread.join()
        child = os.fork()
        if child == 0:
            module.Initialize(None)
            session = module.open()
            module.sign(session, module.find(session, b"EC_P256"))
            module.Finalize(None)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        module.Finalize(None)
        module.Initialize(None)
        session = module.open()
        key = module.find(session, b"EC_P256")
    wanted = Template({CKA_CLASS: PUBLIC})
    module.FindObjectsInit(session, wanted.array, wanted.count)
    module.FindObjectsFinal(session)
    module.Finalize(None)
    import _ctypes
    _ctypes.dlclose(library._handle)
    """
    beginning = f"{load}\n{BEGINNING.replace('Module()', 'Module(library=library)')}"
    run(token, program, beginning=beginning, LD_PRELOAD=str(JEMALLOC))


def test_twenty_thousand_sessions_are_opened_without_the_server(token):
    token.settings["instances"] = '["https://127.0.0.1:9"]'
    run(
        token,
        """
        sessions = [module.open() for _ in range(20_000)]
        assert len({session.value for session in sessions}) == 20_000
        module.CloseAllSessions(ULONG(0))
        """,
        beginning=WITHOUT_A_REQUEST,
    )


def test_a_result_that_found_no_room_is_kept_and_a_length_costs_nothing(token):
    run(
        token,
        """
        length = ULONG()
        module.SignInit(session, ctypes.byref(Mechanism(CKM_ECDSA, None, 0)), key)
        module.Sign(session, bytes(32), ULONG(32), None, ctypes.byref(length))
        assert length.value == 64
        short = ULONG(63)
        room = ctypes.create_string_buffer(64)
        arguments = (session, bytes(32), ULONG(32), room, ctypes.byref(short))
        assert module.call("C_Sign", *arguments) == 0x150
        assert short.value == 64
        module.Sign(*arguments)
        assert module.call("C_Sign", *arguments) == 0x91
        """,
    )


def test_a_program_outlives_a_restart_of_the_server(token: Token, tmp_path: Path) -> None:
    data = tmp_path / "server"
    data.mkdir()
    with running_server(data) as server:
        server.provision()
        server.add_user("operator", "Operator")
        wanted = {"type": "EC_P256", "id": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
        assert server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
        address = f"{server.host}:{server.port}"
        token.settings |= {
            "instances": f'["https://{address}"]',
            "pinned-sha256": f'["{server.fingerprint}"]',
            "call-seconds": "60",
        }
        # Python ignores SIGPIPE, other programs end by it.
        program = """
        import pathlib, signal, time
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        pathlib.Path("SIGN").touch()
        while not pathlib.Path("GONE").exists():
            time.sleep(0.05)
        module.sign(session, key)
        """.replace("SIGN", str(tmp_path / "signed")).replace("GONE", str(tmp_path / "gone"))
        failures: list[BaseException] = []

        def runs() -> None:
            try:
                run(token, program)
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                failures.append(error)

        signing = threading.Thread(target=runs)
        signing.start()
        while signing.is_alive() and not (tmp_path / "signed").exists():
            signing.join(0.05)
    (tmp_path / "gone").touch()
    with running_server(data, listen=address) as server:
        server.unlock()
        signing.join()
    assert not failures
