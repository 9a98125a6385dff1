"""The counter in a TPM: it grows, outlives power-off, and nobody sets it back."""

import pytest

from keystead.platform.tpm_failed import TpmFailed
from tests.support.tpm import Swtpm, swtpm

tss = pytest.importorskip("tpm2_pytss", exc_type=ImportError, reason="tpm2-pytss is not installed")

from keystead.platform.tpm_counter import INDEX, TpmCounter  # noqa: E402 - needs the package above

__all__ = ["swtpm"]


def test_the_counter_is_made_once_and_outlives_power_off(swtpm: Swtpm) -> None:
    counter = TpmCounter(swtpm.tcti)
    first = counter.value()
    counter.increment()
    assert counter.value() == first + 1
    counter.close()
    swtpm.restart()
    again = TpmCounter(swtpm.tcti)
    assert again.value() == first + 1
    again.close()


def test_a_counter_that_was_deleted_does_not_begin_below_its_last_value(swtpm: Swtpm) -> None:
    counter = TpmCounter(swtpm.tcti)
    for _ in range(3):
        counter.increment()
    last = counter.value()
    counter.close()
    with swtpm.esys() as esys:
        esys.nv_undefine_space(esys.tr_from_tpmpublic(INDEX))
    again = TpmCounter(swtpm.tcti)
    assert again.value() > last
    again.close()


def test_an_index_that_can_be_set_back_is_no_counter(swtpm: Swtpm) -> None:
    attributes = tss.TPMA_NV.AUTHREAD | tss.TPMA_NV.AUTHWRITE | tss.TPMA_NV.NO_DA
    wanted = tss.TPMS_NV_PUBLIC(
        nvIndex=INDEX, nameAlg=tss.TPM2_ALG.SHA256, attributes=attributes, dataSize=8
    )
    with swtpm.esys() as esys:
        made = esys.nv_define_space(None, tss.TPM2B_NV_PUBLIC(nvPublic=wanted))
        esys.nv_write(made, bytes(8))
    counter = TpmCounter(swtpm.tcti)
    with pytest.raises(TpmFailed, match="is not the counter of an HSM"):
        counter.value()
    counter.close()


def test_a_counter_that_was_never_raised_gets_its_first_value(swtpm: Swtpm) -> None:
    attributes = (
        tss.TPMA_NV.AUTHREAD
        | tss.TPMA_NV.AUTHWRITE
        | tss.TPMA_NV.NO_DA
        | (tss.TPM2_NT.COUNTER << tss.TPMA_NV.TPM2_NT_SHIFT)
    )
    wanted = tss.TPMS_NV_PUBLIC(
        nvIndex=INDEX, nameAlg=tss.TPM2_ALG.SHA256, attributes=attributes, dataSize=8
    )
    with swtpm.esys() as esys:
        esys.nv_define_space(None, tss.TPM2B_NV_PUBLIC(nvPublic=wanted))
    swtpm.restart()  # A power cut.
    counter = TpmCounter(swtpm.tcti)
    assert counter.value() > 0
    counter.close()


def test_a_tpm_that_is_gone_is_said(swtpm: Swtpm) -> None:
    counter = TpmCounter(swtpm.tcti)
    swtpm.stop()
    with pytest.raises(TpmFailed, match="the TPM says"):
        counter.value()
    with pytest.raises(TpmFailed, match="the TPM says"):
        counter.increment()
    with pytest.raises(TpmFailed):
        TpmCounter(swtpm.tcti)
