"""THE table: every operation of the API, who may call it, in which state, and what answers."""

from keystead.algorithms import USES
from keystead.api.description.openapi import describe, description_row
from keystead.api.description.page import documentation_rows
from keystead.api.http.route import (
    ALL_STATES,
    BACKUP_BODY,
    BYTES,
    LARGE_BODY,
    MULTIPART,
    OPENMETRICS,
    PEM,
    PROMETHEUS,
    UPDATE_BODY,
    Reach,
    Route,
)
from keystead.api.http.statuses import JSON
from keystead.api.resources import (
    backup,
    cluster,
    configuration,
    device_settings,
    health,
    keys,
    lifecycle,
    namespaces,
    system,
    tls,
    use_keys,
    users,
)
from keystead.api.resources import tags as restrictions
from keystead.model.lifecycle import State
from keystead.model.users import Role

_ADMIN = frozenset({Role.ADMINISTRATOR})
_OPERATOR = frozenset({Role.OPERATOR})
_ADMIN_OR_OPERATOR = _ADMIN | _OPERATOR
_METRICS = frozenset({Role.METRICS})
_BACKUP = frozenset({Role.BACKUP})

_ROOT = Reach.ROOT_ONLY
_EMPTY_PUT = (JSON, BYTES)
"""A PUT without a body may come without a Content-Type, which counts as bytes."""
_IMPORT = (JSON, MULTIPART)
_KEY_FILTERS = ("label", "filter")
_OPERATIONAL_OR_FAILED = frozenset({State.OPERATIONAL, State.FAILED})
_UNPROVISIONED_OR_OPERATIONAL = frozenset({State.UNPROVISIONED, State.OPERATIONAL})
_ALIVE = frozenset({State.LOCKED, State.UNPROVISIONED})

_DESCRIBED: tuple[Route, ...] = (
    Route("GET", "/info", health.info, ALL_STATES, answers_head=True, has_tag=True),
    Route("GET", "/health/alive", health.empty, _ALIVE, answers_head=True),
    Route("GET", "/health/ready", health.empty, answers_head=True),
    Route("GET", "/health/state", health.state, ALL_STATES, answers_head=True),
    Route(
        "GET",
        "/health/diagnose",
        cluster.diagnose,
        ALL_STATES,
        _ADMIN,
        _ROOT,
        answers_head=True,
        guarded_when_operational=True,
    ),
    Route("GET", "/health/lockouts", health.lockouts, roles=_ADMIN, reach=_ROOT),
    Route(
        "GET",
        "/metrics",
        health.metrics,
        roles=_METRICS,
        also_produces=(OPENMETRICS, PROMETHEUS),
        answers_head=True,
    ),
    Route("POST", "/provision", lifecycle.provision, frozenset({State.UNPROVISIONED})),
    Route("POST", "/unlock", lifecycle.unlock, frozenset({State.LOCKED})),
    Route("POST", "/lock", lifecycle.lock, roles=_ADMIN, reach=_ROOT, ends_session=True),
    Route("POST", "/random", use_keys.random, roles=_OPERATOR, only_computes=True),
    # --- keys ---
    Route(
        "GET", "/keys", keys.list_keys, roles=_ADMIN_OR_OPERATOR, query=_KEY_FILTERS, has_tag=True
    ),
    Route("POST", "/keys", keys.import_new, roles=_ADMIN, accepts=_IMPORT, early_types=_IMPORT),
    Route("POST", "/keys/generate", keys.generate, roles=_ADMIN, accepts=(JSON,)),
    Route(
        "GET",
        "/keys/{key_id}*",
        keys.list_prefix,
        roles=_ADMIN_OR_OPERATOR,
        query=_KEY_FILTERS,
        has_tag=True,
    ),
    Route("GET", "/keys/{key_id}", keys.show, roles=_ADMIN_OR_OPERATOR, has_tag=True),
    Route(
        "PUT", "/keys/{key_id}", keys.import_as, roles=_ADMIN, accepts=_IMPORT, early_types=_IMPORT
    ),
    Route("DELETE", "/keys/{key_id}", keys.delete, roles=_ADMIN),
    Route("PUT", "/keys/{key_id}/label", keys.set_label, roles=_ADMIN, accepts=(JSON,)),
    Route("DELETE", "/keys/{key_id}/label", keys.delete_label, roles=_ADMIN),
    Route(
        "GET",
        "/keys/{key_id}/public.pem",
        keys.public_pem,
        roles=_ADMIN_OR_OPERATOR,
        produces=PEM,
        has_tag=True,
    ),
    Route("POST", "/keys/{key_id}/csr.pem", keys.csr, roles=_ADMIN_OR_OPERATOR, produces=PEM),
    Route("POST", "/keys/{key_id}/move", keys.move, roles=_ADMIN),
    Route(
        "GET",
        "/keys/{key_id}/cert",
        keys.certificate,
        roles=_ADMIN_OR_OPERATOR,
        produces=BYTES,
        has_tag=True,
    ),
    Route(
        "PUT",
        "/keys/{key_id}/cert",
        keys.set_certificate,
        roles=_ADMIN,
        accepts=(BYTES,),
        early_types=(BYTES,),
        produces=BYTES,
    ),
    Route("DELETE", "/keys/{key_id}/cert", keys.delete_certificate, roles=_ADMIN, produces=BYTES),
    *(
        Route(
            "POST",
            f"/keys/{{key_id}}/{use.verb}",
            use_keys.handler_of(use),
            roles=_OPERATOR,
            body_limit=LARGE_BODY,
            only_computes=True,
        )
        for use in USES
    ),
    Route(
        "PUT",
        "/keys/{key_id}/restrictions/tags/{tag}",
        restrictions.add_key_tag,
        roles=_ADMIN,
        accepts=_EMPTY_PUT,
    ),
    Route(
        "DELETE",
        "/keys/{key_id}/restrictions/tags/{tag}",
        restrictions.remove_key_tag,
        roles=_ADMIN,
    ),
    # --- namespaces ---
    Route("GET", "/namespaces", namespaces.list_all, roles=_ADMIN, reach=_ROOT, answers_head=True),
    Route(
        "PUT",
        "/namespaces/{namespace_id}",
        namespaces.create,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=_EMPTY_PUT,
    ),
    Route("DELETE", "/namespaces/{namespace_id}", namespaces.delete, roles=_ADMIN, reach=_ROOT),
    Route(
        "GET",
        "/namespaces/{namespace_id}/quota",
        namespaces.quota,
        roles=_ADMIN,
        reach=_ROOT,
        has_tag=True,
    ),
    Route(
        "PUT",
        "/namespaces/{namespace_id}/quota",
        namespaces.set_quota,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    # --- users ---
    Route("GET", "/users", users.list_all, roles=_ADMIN, has_tag=True),
    Route("POST", "/users", users.create, roles=_ADMIN, accepts=(JSON,)),
    Route(
        "GET",
        "/users/{user_id}",
        users.show,
        roles=_ADMIN_OR_OPERATOR,
        has_tag=True,
        guard=users.self_or_administrator_or_root,
    ),
    Route("PUT", "/users/{user_id}", users.create_as, roles=_ADMIN, accepts=(JSON,)),
    Route("POST", "/users/{user_id}", users.create_in, roles=_ADMIN, accepts=(JSON,)),
    Route("DELETE", "/users/{user_id}", users.delete, roles=_ADMIN, guard=users.same_namespace),
    Route(
        "POST",
        "/users/{user_id}/passphrase",
        users.set_passphrase,
        roles=_ADMIN_OR_OPERATOR,
        guard=users.self_or_administrator,
    ),
    Route(
        "GET",
        "/users/{user_id}/tags",
        users.tags,
        roles=_ADMIN_OR_OPERATOR,
        guard=users.self_or_administrator_or_root,
    ),
    Route(
        "PUT",
        "/users/{user_id}/tags/{tag}",
        restrictions.add_user_tag,
        roles=_ADMIN,
        guard=users.same_namespace,
        accepts=_EMPTY_PUT,
    ),
    Route(
        "DELETE",
        "/users/{user_id}/tags/{tag}",
        restrictions.remove_user_tag,
        roles=_ADMIN,
        guard=users.same_namespace,
    ),
    # --- configuration ---
    Route(
        "PUT",
        "/config/unlock-passphrase",
        configuration.set_unlock_passphrase,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    Route(
        "PUT",
        "/config/backup-passphrase",
        backup.set_passphrase,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    Route(
        "GET",
        "/config/unattended-boot",
        configuration.unattended_boot,
        roles=_ADMIN,
        reach=_ROOT,
        has_tag=True,
    ),
    Route(
        "PUT",
        "/config/unattended-boot",
        configuration.set_unattended_boot,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    Route("GET", "/config/time", configuration.time, roles=_ADMIN, reach=_ROOT),
    Route(
        "PUT", "/config/time", configuration.set_time, roles=_ADMIN, reach=_ROOT, accepts=(JSON,)
    ),
    Route(
        "GET",
        "/config/network",
        device_settings.network,
        roles=_ADMIN,
        reach=_ROOT,
        has_tag=True,
    ),
    Route(
        "PUT",
        "/config/network",
        device_settings.set_network,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    Route(
        "GET",
        "/config/logging",
        device_settings.logging,
        roles=_ADMIN,
        reach=_ROOT,
        has_tag=True,
    ),
    Route(
        "PUT",
        "/config/logging",
        device_settings.set_logging,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    Route("GET", "/config/ntp", device_settings.ntp, roles=_ADMIN, reach=_ROOT, has_tag=True),
    Route(
        "PUT", "/config/ntp", device_settings.set_ntp, roles=_ADMIN, reach=_ROOT, accepts=(JSON,)
    ),
    Route("POST", "/config/tls/generate", tls.generate, roles=_ADMIN, reach=_ROOT),
    Route(
        "GET",
        "/config/tls/public.pem",
        tls.public_pem,
        roles=_ADMIN,
        reach=_ROOT,
        produces=PEM,
        answers_head=True,
        has_tag=True,
    ),
    Route(
        "GET",
        "/config/tls/cert.pem",
        tls.certificate,
        roles=_ADMIN,
        reach=_ROOT,
        produces=PEM,
        has_tag=True,
    ),
    Route(
        "PUT",
        "/config/tls/cert.pem",
        tls.set_certificate,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(PEM,),
        produces=PEM,
    ),
    Route("POST", "/config/tls/csr.pem", tls.csr, roles=_ADMIN, reach=_ROOT, produces=PEM),
    Route(
        "GET",
        "/config/tls/cluster-ca.pem",
        tls.cluster_ca,
        roles=_ADMIN,
        reach=_ROOT,
        produces=PEM,
        has_tag=True,
    ),
    Route(
        "PUT",
        "/config/tls/cluster-ca.pem",
        tls.set_cluster_ca,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(PEM,),
        produces=PEM,
    ),
    # --- cluster ---
    Route("GET", "/cluster/members", cluster.list_members, roles=_ADMIN, reach=_ROOT),
    Route(
        "POST",
        "/cluster/members",
        cluster.add_member,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    Route(
        "PUT",
        "/cluster/members/{member_id}",
        cluster.set_member_urls,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(JSON,),
    ),
    Route(
        "DELETE", "/cluster/members/{member_id}", cluster.remove_member, roles=_ADMIN, reach=_ROOT
    ),
    Route(
        "POST",
        "/cluster/members/{member_id}/promote",
        cluster.promote_member,
        roles=_ADMIN,
        reach=_ROOT,
    ),
    Route("POST", "/cluster/join", cluster.join, roles=_ADMIN, reach=_ROOT),
    Route(
        "POST",
        "/cluster/force-new",
        cluster.force_new,
        frozenset({State.FAILED}),
        reach=_ROOT,
        needs_unlock_passphrase=True,
    ),
    # --- system ---
    Route(
        "GET",
        "/system/info",
        system.info,
        roles=_ADMIN,
        reach=_ROOT,
        answers_head=True,
        has_tag=True,
    ),
    Route("POST", "/system/reboot", system.reboot, _OPERATIONAL_OR_FAILED, _ADMIN, _ROOT),
    Route(
        "POST", "/system/factory-reset", system.factory_reset, _OPERATIONAL_OR_FAILED, _ADMIN, _ROOT
    ),
    Route(
        "POST",
        "/system/shutdown",
        system.shutdown,
        ALL_STATES,
        _ADMIN,
        _ROOT,
        guarded_when_operational=True,
        guarded_when_provisioned=True,
    ),
    Route(
        "POST",
        "/system/update",
        system.update,
        roles=_ADMIN,
        reach=_ROOT,
        accepts=(BYTES,),
        body_limit=UPDATE_BODY,
    ),
    Route("POST", "/system/commit-update", system.commit_update, roles=_ADMIN, reach=_ROOT),
    Route("POST", "/system/cancel-update", system.cancel_update, roles=_ADMIN, reach=_ROOT),
    Route("POST", "/system/backup", backup.make, roles=_BACKUP, reach=_ROOT, produces=BYTES),
    Route(
        "POST",
        "/system/restore",
        backup.restore_file,
        _UNPROVISIONED_OR_OPERATIONAL,
        _ADMIN,
        _ROOT,
        early_types=(MULTIPART,),
        body_limit=BACKUP_BODY,
        guarded_when_operational=True,
        ends_session=True,
    ),
)

ROUTES: tuple[Route, ...] = (*_DESCRIBED, description_row(_DESCRIBED))

PAGES: tuple[Route, ...] = documentation_rows(describe(ROUTES))
"""What is outside the API: for people."""
