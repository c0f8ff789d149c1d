"""stub"""


def make_env(): ...
