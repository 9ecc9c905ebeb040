// A signature that somebody else has to approve, the way the vendor's own example goes about it: tried directly, asked
// for, waited for, and read. The reviewer shows a U2F key.
package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"time"

	"github.com/fortanix/sdkms-client-go/sdkms"
)

type reviewer struct {
	*sdkms.Client
	id  string
	key *u2fKey
}

// Somebody who was invited, with a U2F key.
func newReviewer() reviewer {
	email, password := *unique("reviewer")+"@example.org", "an initial password 1"
	invited, err := admin.InviteUser(ctx, sdkms.UserRequest{UserEmail: &email, UserPassword: &password})
	must(err)
	made := reviewer{client(nil), invited.UserID, newU2fKey()}
	_, err = made.AuthenticateWithUserPass(ctx, email, password)
	must(err)
	must(made.ProcessInvite(ctx, sdkms.ProcessInviteRequest{Accepts: &[]string{account}}))
	_, err = made.SelectAccount(ctx, sdkms.SelectAccountRequest{AcctID: account})
	must(err)
	_, err = made.Config2faAuth(ctx, sdkms.Config2faAuthRequest{Password: password})
	must(err)
	asked, err := made.MfaNewChallenge(ctx, &sdkms.MfaChallengeParams{Protocol: sdkms.MfaProtocolU2f})
	must(err)
	devices := []sdkms.U2fAddDeviceRequest{made.key.register("reviewer", asked.LegacyU2f.U2fChallenge)}
	_, err = made.UpdateUser(ctx, invited.UserID, sdkms.UserRequest{AddU2fDevices: &devices})
	must(err)
	return made
}

func (r reviewer) approve(request string) (*sdkms.ApprovalRequest, error) {
	asked, err := r.MfaChallenge(ctx, request, &sdkms.MfaChallengeParams{Protocol: sdkms.MfaProtocolU2f})
	must(err)
	shown := r.key.answer(asked.LegacyU2f.U2fChallenge)
	return r.ApproveRequest(ctx, request, sdkms.ApproveRequest{U2f: &shown})
}

// As the example does it, but for how long it sleeps.
func signedWhenApproved(who *sdkms.Client, request sdkms.SignRequest, asked func(*sdkms.ApprovalRequest)) (*sdkms.SignResponse, error) {
	answer, err := who.Sign(ctx, request)
	if err == nil {
		return answer, nil
	}
	var backend *sdkms.BackendError
	if !errors.As(err, &backend) || backend.Message != "This operation requires approval" {
		return nil, err
	}
	description := "Pretty please"
	approval, err := who.RequestApprovalToSign(ctx, request, &description)
	must(err)
	asked(approval)
	for approval.Status == sdkms.ApprovalStatusPending {
		time.Sleep(10 * time.Millisecond)
		approval, err = who.GetApprovalRequest(ctx, approval.RequestID)
		must(err)
	}
	if approval.Status == sdkms.ApprovalStatusDenied {
		return nil, errors.New("request was denied")
	}
	result, err := who.GetApprovalRequestResult(ctx, approval.RequestID)
	must(err)
	var signature sdkms.SignResponse
	return &signature, result.Parse(&signature)
}

func approvals() {
	var bob, eve reviewer
	var asking *sdkms.Client
	var group *sdkms.Group
	var key *sdkms.Sobject
	request := func() sdkms.SignRequest {
		return sdkms.SignRequest{
			Key: byID(key), HashAlg: sdkms.DigestAlgorithmSha256, Data: &text,
			Mode: sdkms.SignatureModeRSA(sdkms.RsaSignaturePaddingPKCS1V15()),
		}
	}
	step("guard_a_group_with_a_quorum", func() error {
		bob, eve = newReviewer(), newReviewer()
		made, err := admin.CreateGroup(ctx, sdkms.GroupRequest{Name: unique("guarded")})
		must(err)
		rights := sdkms.AppPermissionsSign | sdkms.AppPermissionsManage
		row, err := admin.CreateApp(ctx, nil, sdkms.AppRequest{
			Name: unique("asking"), AddGroups: &sdkms.AppGroups{made.GroupID: &rights}, DefaultGroup: &made.GroupID,
		})
		must(err)
		answer, err := admin.GetAppCredential(ctx, row.AppID)
		must(err)
		asking = client(sdkms.APIKey(base64.StdEncoding.EncodeToString([]byte(row.AppID + ":" + *answer.Credential.Secret))))
		key, err = asking.CreateSobject(ctx, sdkms.SobjectRequest{
			Name: unique("rsa"), ObjType: sdkms.Some(sdkms.ObjectTypeRsa), KeySize: sdkms.Some(uint32(2048)),
		})
		must(err)
		quorum := sdkms.Quorum{
			N:       2,
			Members: []sdkms.QuorumPolicy{{User: &bob.id}, {User: &eve.id}},
			Config:  sdkms.ApprovalAuthConfig{Require2fa: sdkms.Some(true)},
		}
		group, err = admin.UpdateGroup(ctx, made.GroupID, sdkms.GroupRequest{ApprovalPolicy: &sdkms.GroupApprovalPolicy{
			Policy: sdkms.QuorumPolicy{Quorum: &quorum}, ProtectCryptoOperations: sdkms.Some(true),
		}})
		must(err)
		read := group.ApprovalPolicy.Policy.Quorum
		check(read.N == 2 && len(read.Members) == 2 && *read.Config.Require2fa, "%+v", read)
		check(*group.ApprovalPolicy.ProtectCryptoOperations, "%+v", group.ApprovalPolicy)
		return nil
	})
	step("a_signature_waits_for_its_approvals", func() error {
		answer, err := signedWhenApproved(asking, request(), func(asked *sdkms.ApprovalRequest) {
			check(asked.Status == sdkms.ApprovalStatusPending && *asked.Description == "Pretty please", "%+v", asked)
			check(len(*asked.Reviewers) == 2 && *(*asked.Reviewers)[0].Requires2fa, "%+v", asked.Reviewers)
			_, err := bob.ApproveRequest(ctx, asked.RequestID, sdkms.ApproveRequest{})
			refused(403, "second factor", err)
			after, err := bob.approve(asked.RequestID)
			must(err)
			check(after.Status == sdkms.ApprovalStatusPending && len(after.Approvers) == 1, "%+v", after)
			_, err = asking.GetApprovalRequestResult(ctx, asked.RequestID)
			refused(409, "not been decided", err)
			after, err = eve.approve(asked.RequestID)
			must(err)
			check(after.Status == sdkms.ApprovalStatusApproved && *after.Approvers[1].User == eve.id, "%+v", after)
		})
		must(err)
		found, err := asking.GetSobject(ctx, nil, *byID(key))
		must(err)
		public, err := x509.ParsePKIXPublicKey(*found.PubKey)
		must(err)
		digest := sha256.Sum256(text)
		return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, digest[:], answer.Signature)
	})
	step("a_signature_that_is_denied_is_not_made", func() error {
		var id string
		_, err := signedWhenApproved(asking, request(), func(asked *sdkms.ApprovalRequest) {
			id = asked.RequestID
			_, err := eve.DenyRequest(ctx, id, sdkms.DenyRequest{Reason: sdkms.Some("not today")})
			must(err)
		})
		check(err != nil && err.Error() == "request was denied", "%v", err)
		denied, err := asking.GetApprovalRequest(ctx, id)
		must(err)
		check(*denied.Denier.User == eve.id && *denied.DenialReason == "not today", "%+v", denied)
		_, err = asking.GetApprovalRequestResult(ctx, id)
		refused(409, "denied", err)
		return nil
	})
	step("list_and_take_back_requests", func() error {
		asked, err := asking.RequestApprovalToSign(ctx, request(), nil)
		must(err)
		params := sdkms.ListApprovalRequestsParams{Status: sdkms.Some(sdkms.ApprovalStatusPending), Reviewer: &bob.id}
		listed, err := bob.ListApprovalRequests(ctx, &params)
		must(err)
		check(len(listed) == 1 && listed[0].RequestID == asked.RequestID, "%+v", listed)
		err = bob.DeleteApprovalRequest(ctx, asked.RequestID)
		refused(403, "only who asked", err)
		must(asking.DeleteApprovalRequest(ctx, asked.RequestID))
		_, err = asking.GetApprovalRequest(ctx, asked.RequestID)
		refused(404, "does not exist", err)
		return nil
	})
	step("a_rotation_that_was_approved_is_read_as_the_new_key", func() error {
		body := sdkms.SobjectRekeyRequest{Dest: sdkms.SobjectRequest{Name: key.Name}}
		asked, err := asking.RequestApprovalToRotateSobject(ctx, body, nil)
		must(err)
		for _, who := range []reviewer{bob, eve} {
			_, err = who.approve(asked.RequestID)
			must(err)
		}
		result, err := asking.GetApprovalRequestResult(ctx, asked.RequestID)
		must(err)
		var made sdkms.Sobject
		must(result.Parse(&made))
		check(*made.Kid != *key.Kid && *made.Name == *key.Name, "%+v", made)
		return nil
	})
	step("a_guarded_groups_policy_is_not_taken_away", func() error {
		weaker := sdkms.GroupApprovalPolicy{Policy: sdkms.QuorumPolicy{User: &bob.id}}
		_, err := admin.UpdateGroup(ctx, group.GroupID, sdkms.GroupRequest{ApprovalPolicy: &weaker})
		refused(403, "requires approval", err)
		refused(403, "requires approval", admin.DeleteGroup(ctx, group.GroupID))
		return nil
	})
}
