"""How a call to etcd can fail. What matters is whether it may have changed something."""


class EtcdError(Exception):
    """The base class."""


class EtcdRefused(EtcdError):
    """etcd has refused the call and changed nothing. The message is etcd's own."""


class EtcdUnavailable(EtcdError):
    """etcd cannot be asked now. Nothing was changed, unless the error is EtcdInDoubt."""


class EtcdInDoubt(EtcdUnavailable):
    """etcd was asked and gave no certain answer: the change may have been made, or may follow."""


class AnswerTooLarge(EtcdInDoubt):
    """The answer of etcd exceeds the limit of the client."""
