"""GitHub as a pool sees it: runners of organizations, repositories and enterprises, behind tokens, Apps and limits.

https://docs.github.com/en/enterprise-server/rest/actions/self-hosted-runners
"""
