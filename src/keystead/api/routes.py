"""The route table: every operation of the API with its callers, states and handler."""

from functools import partial
from typing import Final

from keystead.algorithms import USES
from keystead.api.description.openapi import describe, description_row
from keystead.api.description.page import documentation_rows
from keystead.api.http.route import (
    ALL_STATES,
    BACKUP_BODY,
    BYTES,
    JOSE,
    LARGE_BODY,
    MULTIPART,
    NDJSON,
    OPENMETRICS,
    PEM,
    PROMETHEUS,
    UPDATE_BODY,
    Accepted,
    Authentication,
    EarlyCheck,
    Reach,
    Route,
)
from keystead.api.http.statuses import JSON
from keystead.api.resources import (
    approvals,
    attestation,
    backup,
    cluster,
    configuration,
    device_settings,
    health,
    journal,
    key_lists,
    keys,
    lifecycle,
    namespaces,
    policies,
    system,
    tags,
    tls,
    use_keys,
    users,
)
from keystead.model.lifecycle import State
from keystead.model.users import Role

# --- callers of rows: each of these makes a row ---

_ADMINS: Final = frozenset({Role.ADMINISTRATOR})
_anyone = partial(Route, authentication=Authentication.NONE)
_admin = partial(Route, roles=_ADMINS)
_root = partial(Route, roles=_ADMINS, reach=Reach.ROOT_ONLY)
"""Administrators without a namespace."""
_user = partial(Route, roles=frozenset({Role.ADMINISTRATOR, Role.OPERATOR}))
_operator = partial(Route, roles=frozenset({Role.OPERATOR}))
_metrics = partial(Route, roles=frozenset({Role.METRICS}))
_backup = partial(Route, roles=frozenset({Role.BACKUP}), reach=Reach.ROOT_ONLY)
_auditor = partial(Route, roles=frozenset({Role.AUDITOR}), reach=Reach.ROOT_ONLY)
_auditor_or_root = partial(
    Route, roles=frozenset({Role.AUDITOR, Role.ADMINISTRATOR}), reach=Reach.ROOT_ONLY
)
_unlocker = partial(Route, authentication=Authentication.UNLOCK_PASSPHRASE, reach=Reach.ROOT_ONLY)
"""Anyone who knows the unlock passphrase."""
_root_when_up = partial(_root, authentication=Authentication.ROLE_WHEN_OPERATIONAL)
"""Root Administrators in state Operational, and anyone in other states."""
_root_or_unlocker = partial(_root, authentication=Authentication.ROLE_OR_UNLOCK_PASSPHRASE)
_root_or_unlocker_if_failed = partial(
    _root, authentication=Authentication.ROLE_OR_UNLOCK_PASSPHRASE_IF_FAILED
)
_key_user = partial(_operator, body_limit=LARGE_BODY)
_fellow = partial(_admin, guard=users.same_namespace)
"""Administrators of the namespace that the user of the path is in."""
_self = partial(_user, guard=users.self_or_administrator)
"""The user in the path, and Administrators of that user's namespace."""
_self_or_root = partial(_user, guard=users.self_or_administrator_or_root)

# --- what they take and give ---

_JSON: Final = Accepted((JSON,))
_PEM: Final = Accepted((PEM,))
_BYTES: Final = Accepted((BYTES,))
_NOTHING: Final = Accepted((JSON, BYTES))
"""A PUT without a body may come without a Content-Type, which counts as bytes."""
_KEY: Final = Accepted((JSON, MULTIPART), EarlyCheck.IS_MEDIA_TYPE)
_CERT: Final = Accepted((BYTES,), EarlyCheck.IS_ACCEPTED)
_BACKUP: Final = Accepted((MULTIPART,), EarlyCheck.IS_MEDIA_TYPE)
_LISTED: Final = (
    *("label", "filter", "details", "limit", "after", "prefix"),
    *("labelContains", "tag", "type"),
)
_DETAILS: Final = ("details",)
"""What NetHSM's answers do not have: clients generated from its description refuse more fields."""
_DERIVATION: Final = ("derivation",)
_SCRAPED: Final = (OPENMETRICS, PROMETHEUS)

# --- when ---

_LOCKED: Final = frozenset({State.LOCKED})
_UNPROVISIONED: Final = frozenset({State.UNPROVISIONED})
_FAILED: Final = frozenset({State.FAILED})
_OPERATIONAL_OR_FAILED: Final = frozenset({State.OPERATIONAL, State.FAILED})
_UNPROVISIONED_OR_OPERATIONAL: Final = frozenset({State.UNPROVISIONED, State.OPERATIONAL})

_DESCRIBED: tuple[Route, ...] = (
    _anyone("GET", "/info", health.info, ALL_STATES, answers_head=True, has_tag=True),
    _anyone("GET", "/health/alive", health.empty, _LOCKED | _UNPROVISIONED, answers_head=True),
    _anyone("GET", "/health/ready", health.ready, answers_head=True),
    _anyone("GET", "/health/state", health.state, ALL_STATES, answers_head=True),
    _root_when_up(
        "GET",
        "/health/diagnose",
        cluster.diagnose,
        ALL_STATES,
        query=_DETAILS,
        answers_head=True,
    ),
    _root("GET", "/health/lockouts", health.lockouts),
    _metrics("GET", "/metrics", health.metrics, also_produces=_SCRAPED, answers_head=True),
    _anyone("GET", "/system/identity", attestation.identity),
    _anyone(
        "POST", "/provision", lifecycle.provision, _UNPROVISIONED, works_with_full_journal=True
    ),
    _anyone("POST", "/unlock", lifecycle.unlock, _LOCKED, works_with_full_journal=True),
    _root("POST", "/lock", lifecycle.lock, ends_session=True, works_with_full_journal=True),
    _operator("POST", "/random", use_keys.random, only_computes=True),
    # --- keys ---
    _user("GET", "/keys", key_lists.list_keys, query=_LISTED, has_tag=True),
    _admin("POST", "/keys", keys.import_new, accepts=_KEY),
    _admin("POST", "/keys/generate", keys.generate, accepts=_JSON),
    _user("GET", "/keys/{key_id}*", key_lists.list_prefix, query=_LISTED, has_tag=True),
    _user("GET", "/keys/{key_id}", keys.show, query=_DERIVATION, has_tag=True),
    _admin("PUT", "/keys/{key_id}", keys.import_as, accepts=_KEY),
    _admin("DELETE", "/keys/{key_id}", keys.delete),
    _admin("PUT", "/keys/{key_id}/label", keys.set_label, accepts=_JSON),
    _admin("DELETE", "/keys/{key_id}/label", keys.delete_label),
    _user(
        "GET",
        "/keys/{key_id}/public.pem",
        keys.public_pem,
        produces=PEM,
        query=_DERIVATION,
        has_tag=True,
    ),
    _user("POST", "/keys/{key_id}/csr.pem", keys.csr, produces=PEM),
    _user(
        "POST",
        "/keys/{key_id}/attestation",
        attestation.attest,
        accepts=_JSON,
        produces=JOSE,
    ),
    _admin("POST", "/keys/{key_id}/move", keys.move),
    _user("GET", "/keys/{key_id}/cert", keys.certificate, produces=BYTES, has_tag=True),
    _admin("PUT", "/keys/{key_id}/cert", keys.set_certificate, accepts=_CERT, produces=BYTES),
    _admin("DELETE", "/keys/{key_id}/cert", keys.delete_certificate, produces=BYTES),
    _user("GET", "/keys/{key_id}/policy", policies.show, has_tag=True),
    _admin("PUT", "/keys/{key_id}/policy", policies.set_policy, accepts=_JSON),
    _admin("DELETE", "/keys/{key_id}/policy", policies.delete),
    *(
        _key_user(
            "POST",
            f"/keys/{{key_id}}/{use.verb}",
            use_keys.handler_of(use),
            only_computes=not use.may_stay,
        )
        for use in USES
    ),
    _admin("PUT", "/keys/{key_id}/restrictions/tags/{tag}", tags.add_key_tag, accepts=_NOTHING),
    _admin("DELETE", "/keys/{key_id}/restrictions/tags/{tag}", tags.remove_key_tag),
    # --- approvals ---
    _operator("POST", "/keys/{key_id}/approvals", approvals.ask, accepts=_JSON),
    _user("GET", "/approvals", approvals.list_all, has_tag=True),
    _user("GET", "/approvals/{approval_id}", approvals.show, has_tag=True),
    _user("POST", "/approvals/{approval_id}/approve", approvals.approve),
    _user("POST", "/approvals/{approval_id}/refuse", approvals.refuse),
    # --- namespaces ---
    _root("GET", "/namespaces", namespaces.list_all, answers_head=True),
    _root("PUT", "/namespaces/{namespace_id}", namespaces.create, accepts=_NOTHING),
    _root("DELETE", "/namespaces/{namespace_id}", namespaces.delete),
    _root("GET", "/namespaces/{namespace_id}/quota", namespaces.quota, has_tag=True),
    _root("PUT", "/namespaces/{namespace_id}/quota", namespaces.set_quota, accepts=_JSON),
    # --- users ---
    _admin("GET", "/users", users.list_all, has_tag=True),
    _admin("POST", "/users", users.create, accepts=_JSON),
    _self_or_root("GET", "/users/{user_id}", users.show, has_tag=True),
    _admin("PUT", "/users/{user_id}", users.create_as, accepts=_JSON),
    _admin("POST", "/users/{user_id}", users.create_in, accepts=_JSON),
    _fellow("DELETE", "/users/{user_id}", users.delete),
    _self("POST", "/users/{user_id}/passphrase", users.set_passphrase),
    _self_or_root("GET", "/users/{user_id}/tags", users.tags),
    _fellow("PUT", "/users/{user_id}/tags/{tag}", tags.add_user_tag, accepts=_NOTHING),
    _fellow("DELETE", "/users/{user_id}/tags/{tag}", tags.remove_user_tag),
    # --- configuration ---
    _root("PUT", "/config/unlock-passphrase", configuration.set_unlock_passphrase, accepts=_JSON),
    _root("PUT", "/config/backup-passphrase", backup.set_passphrase, accepts=_JSON),
    _root("GET", "/config/unattended-boot", configuration.unattended_boot, has_tag=True),
    _root("PUT", "/config/unattended-boot", configuration.set_unattended_boot, accepts=_JSON),
    _root("GET", "/config/time", configuration.time),
    _root("PUT", "/config/time", configuration.set_time, accepts=_JSON),
    _root("GET", "/config/network", device_settings.network, has_tag=True),
    _root("PUT", "/config/network", device_settings.set_network, accepts=_JSON),
    _root("GET", "/config/logging", device_settings.logging, has_tag=True),
    _root("PUT", "/config/logging", device_settings.set_logging, accepts=_JSON),
    _root("GET", "/config/ntp", device_settings.ntp, has_tag=True),
    _root("PUT", "/config/ntp", device_settings.set_ntp, accepts=_JSON),
    _root("GET", "/config/journal", journal.settings, has_tag=True),
    _root(
        "PUT",
        "/config/journal",
        journal.set_settings,
        accepts=_JSON,
        works_with_full_journal=True,
    ),
    _root("POST", "/config/tls/generate", tls.generate),
    _root(
        "GET",
        "/config/tls/public.pem",
        tls.public_pem,
        produces=PEM,
        answers_head=True,
        has_tag=True,
    ),
    _root("GET", "/config/tls/cert.pem", tls.certificate, produces=PEM, has_tag=True),
    _root("PUT", "/config/tls/cert.pem", tls.set_certificate, accepts=_PEM, produces=PEM),
    _root("POST", "/config/tls/csr.pem", tls.csr, produces=PEM),
    _root("GET", "/config/tls/cluster-ca.pem", tls.cluster_ca, produces=PEM, has_tag=True),
    _root("PUT", "/config/tls/cluster-ca.pem", tls.set_cluster_ca, accepts=_PEM, produces=PEM),
    # --- cluster ---
    _root("GET", "/cluster/members", cluster.list_members),
    _root("POST", "/cluster/members", cluster.add_member, accepts=_JSON),
    _root("PUT", "/cluster/members/{member_id}", cluster.set_member_urls, accepts=_JSON),
    _root("DELETE", "/cluster/members/{member_id}", cluster.remove_member),
    _root("POST", "/cluster/members/{member_id}/promote", cluster.promote_member),
    _root("POST", "/cluster/join", cluster.join),
    _unlocker("POST", "/cluster/force-new", cluster.force_new, _FAILED),
    # --- journal ---
    _auditor_or_root("GET", "/journal", journal.entries, produces=NDJSON, query=("from", "limit")),
    _auditor_or_root("GET", "/journal/head", journal.head),
    _auditor_or_root("GET", "/journal/key.pem", journal.public_key, produces=PEM),
    _auditor("DELETE", "/journal", journal.remove, query=("upto",), works_with_full_journal=True),
    # --- system ---
    _root("GET", "/system/info", system.info, query=_DETAILS, answers_head=True, has_tag=True),
    _root("POST", "/system/attestation", system.attest, accepts=_JSON),
    _root("POST", "/system/identity/csr.pem", attestation.identity_csr, produces=PEM),
    _root(
        "PUT",
        "/system/identity/cert.pem",
        attestation.set_identity_certificate,
        accepts=_PEM,
        produces=PEM,
    ),
    _root_or_unlocker_if_failed(
        "POST",
        "/system/reboot",
        system.reboot,
        _OPERATIONAL_OR_FAILED,
        works_with_full_journal=True,
    ),
    _root_or_unlocker_if_failed(
        "POST",
        "/system/factory-reset",
        system.factory_reset,
        _OPERATIONAL_OR_FAILED,
        works_with_full_journal=True,
    ),
    _root_or_unlocker(
        "POST", "/system/shutdown", system.shutdown, ALL_STATES, works_with_full_journal=True
    ),
    _root("POST", "/system/update", system.update, accepts=_BYTES, body_limit=UPDATE_BODY),
    _root("POST", "/system/commit-update", system.commit_update),
    _root("POST", "/system/cancel-update", system.cancel_update),
    _backup("POST", "/system/backup", backup.make, produces=BYTES),
    _root_when_up(
        "POST",
        "/system/restore",
        backup.restore_file,
        _UNPROVISIONED_OR_OPERATIONAL,
        accepts=_BACKUP,
        body_limit=BACKUP_BODY,
        ends_session=True,
    ),
)

ROUTES: tuple[Route, ...] = (*_DESCRIBED, description_row(_DESCRIBED))

PAGES: tuple[Route, ...] = documentation_rows(partial(describe, ROUTES))
"""Routes outside of the API, for people."""
