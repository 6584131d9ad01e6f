"""userIdentity of calls to a real moto: users, keys, roles and sessions learned from what passes by."""

import base64
import json

import pytest

ACCOUNT = "123456789012"
ROOT = {"type": "Root", "principalId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT, "accessKeyId": "test"}
START = "2026-11-22T15:01:30Z"
DEVICE = {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/alice", "TokenCode": "123456"}


@pytest.fixture
def server(start, moto):
    return start("--upstream", moto, "--time", START)


def context(mfa="false", issuer=None, federation=None, **more):
    members = {"sessionIssuer": issuer} if issuer else {}
    members |= {"webIdFederationData": federation} if federation else {}
    return members | {"attributes": {"creationDate": START, "mfaAuthenticated": mfa}} | more


def user_identity(user, key, **more):
    return {"type": "IAMUser", "principalId": user["UserId"], "arn": user["Arn"], "accountId": ACCOUNT, "accessKeyId": key, "userName": user["UserName"], **more}


def role_identity(role, session, key, **more):
    issuer = {"type": "Role", "principalId": role["RoleId"], "arn": role["Arn"], "accountId": ACCOUNT, "userName": role["RoleName"]}
    return {
        "type": "AssumedRole", "principalId": f"{role['RoleId']}:{session}", "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role['RoleName']}/{session}",
        "accountId": ACCOUNT, "accessKeyId": key, "sessionContext": context(issuer=issuer, **more),
    }


def who_calls(server, key):
    """The identity that a call with `key` is recorded with, as text: the order of its members counts."""
    server.client("sqs", key).list_queues()
    return json.dumps(server.events(eventName="ListQueues")[-1]["userIdentity"])


def test_users_and_their_keys(server):
    iam = server.client("iam", "test")
    alice = iam.create_user(UserName="alice", Path="/staff/")["User"]
    key = iam.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
    assert who_calls(server, "test") == json.dumps(ROOT)
    assert who_calls(server, key) == json.dumps(user_identity(alice, key))

    iam.update_user(UserName="alice", NewUserName="alina")
    renamed = alice | {"UserName": "alina", "Arn": f"arn:aws:iam::{ACCOUNT}:user/staff/alina"}
    assert who_calls(server, key) == json.dumps(user_identity(renamed, key))

    # moto lets a deleted key go on: the calls are still the user's, also when another takes the name.
    iam.delete_access_key(UserName="alina", AccessKeyId=key)
    iam.delete_user(UserName="alina")
    assert who_calls(server, key) == json.dumps(user_identity(renamed, key))
    other = iam.create_user(UserName="alina")["User"]
    other_key = iam.create_access_key(UserName="alina")["AccessKey"]["AccessKeyId"]
    assert other["UserId"] != alice["UserId"]
    assert who_calls(server, other_key) == json.dumps(user_identity(other, other_key))
    assert who_calls(server, key) == json.dumps(user_identity(renamed, key))


def test_keys_older_than_the_door_are_learned_when_they_are_named(start, moto):
    before = start("--upstream", moto)
    iam = before.client("iam", "test")
    alice = iam.create_user(UserName="alice", Path="/staff/")["User"]
    bob = iam.create_user(UserName="bob")["User"]
    alices, bobs = (iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"] for name in ("alice", "bob"))
    server = start("--upstream", moto, "--time", START)
    assert json.loads(who_calls(server, alices))["type"] == "Root"
    server.client("iam", "test").list_users()
    server.client("iam", "test").list_access_keys(UserName="alice")
    assert who_calls(server, alices) == json.dumps(user_identity(alice, alices))
    server.client("sts", bobs).get_caller_identity()
    assert who_calls(server, bobs) == json.dumps(user_identity(bob, bobs))


def test_sessions_of_users_and_roles(server):
    iam = server.client("iam", "test")
    alice = iam.create_user(UserName="alice")["User"]
    key = iam.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
    first, second = (iam.create_role(RoleName=name, Path="/ops/", AssumeRolePolicyDocument="{}")["Role"] for name in ("first", "second"))
    sts = server.client("sts", key)

    plain = sts.assume_role(RoleArn=first["Arn"], RoleSessionName="s1", SourceIdentity="alice")["Credentials"]
    assert who_calls(server, plain["AccessKeyId"]) == json.dumps(role_identity(first, "s1", plain["AccessKeyId"], sourceIdentity="alice"))
    chained = server.client("sts", plain["AccessKeyId"]).assume_role(RoleArn=second["Arn"], RoleSessionName="s2")["Credentials"]
    assert who_calls(server, chained["AccessKeyId"]) == json.dumps(role_identity(second, "s2", chained["AccessKeyId"], sourceIdentity="alice"))
    assert server.events(eventName="AssumeRole")[-1]["userIdentity"] == role_identity(first, "s1", plain["AccessKeyId"], sourceIdentity="alice")
    with_mfa = sts.assume_role(RoleArn=first["Arn"], RoleSessionName="s3", **DEVICE)["Credentials"]
    assert who_calls(server, with_mfa["AccessKeyId"]) == json.dumps(role_identity(first, "s3", with_mfa["AccessKeyId"], mfa="true"))

    # moto gives every session of a user the same key, so they are looked at one after the other.
    for device, mfa in (({}, "false"), (DEVICE, "true")):
        session = sts.get_session_token(**device)["Credentials"]["AccessKeyId"]
        assert who_calls(server, session) == json.dumps(user_identity(alice, session, sessionContext=context(mfa)))
    session = server.client("sts", "test").get_session_token()["Credentials"]["AccessKeyId"]
    assert who_calls(server, session) == json.dumps(ROOT | {"accessKeyId": session, "sessionContext": context()})
    federated = sts.get_federation_token(Name="carol")["Credentials"]["AccessKeyId"]
    assert who_calls(server, federated) == json.dumps({
        "type": "FederatedUser", "principalId": f"{ACCOUNT}:carol", "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/carol", "accountId": ACCOUNT,
        "accessKeyId": federated, "sessionContext": context(issuer={
            "type": "IAMUser", "principalId": alice["UserId"], "arn": alice["Arn"], "accountId": ACCOUNT, "userName": "alice"}),
    })

    everything = json.dumps(server.events())
    for credentials in (plain, chained, with_mfa):
        for secret in (credentials["SecretAccessKey"], credentials["SessionToken"]):
            assert secret not in everything and secret not in server.log


def test_those_whom_a_provider_vouches_for(server):
    role = server.client("iam", "test").create_role(RoleName="web", AssumeRolePolicyDocument="{}")["Role"]
    sts = server.client("sts", "test")
    claims = {"iss": "https://id.example.com", "sub": "user-1", "aud": "app"}
    token = f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"
    # moto's answer does not say who the token is for; the token does.
    answer = sts.assume_role_with_web_identity(RoleArn=role["Arn"], RoleSessionName="s1", WebIdentityToken=token)
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/id.example.com"
    assert json.dumps(server.events(eventName="AssumeRoleWithWebIdentity")[-1]["userIdentity"]) == json.dumps(
        {"type": "WebIdentityUser", "principalId": f"{provider}:app:user-1", "userName": "user-1", "identityProvider": provider}
    )
    role_id = answer["AssumedRoleUser"]["AssumedRoleId"].split(":")[0]
    key = answer["Credentials"]["AccessKeyId"]
    federation = {"federatedProvider": provider, "attributes": {}}
    assert who_calls(server, key) == json.dumps(role_identity(role | {"RoleId": role_id}, "s1", key, federation=federation))

    assertion = f"""<?xml version="1.0"?><samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"
        xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Assertion><saml:AttributeStatement>
        <saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/RoleSessionName"><saml:AttributeValue>bob</saml:AttributeValue></saml:Attribute>
        <saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role"><saml:AttributeValue>{role['Arn']},{ACCOUNT}</saml:AttributeValue></saml:Attribute>
        </saml:AttributeStatement></saml:Assertion></samlp:Response>"""
    answer = sts.assume_role_with_saml(
        RoleArn=role["Arn"], PrincipalArn=f"arn:aws:iam::{ACCOUNT}:saml-provider/idp", SAMLAssertion=base64.b64encode(assertion.encode()).decode()
    )
    qualifier, subject = answer["NameQualifier"], answer["Subject"]
    assert json.dumps(server.events(eventName="AssumeRoleWithSAML")[-1]["userIdentity"]) == json.dumps(
        {"type": "SAMLUser", "principalId": f"{qualifier}:{subject}", "userName": subject, "identityProvider": qualifier}
    )
    key = answer["Credentials"]["AccessKeyId"]
    assert who_calls(server, key) == json.dumps(role_identity(role, "bob", key))
    assert "c2ln" not in json.dumps(server.events())
