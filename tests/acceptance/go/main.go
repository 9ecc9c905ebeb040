// A program that uses the vendor's Go client as a module, unmodified. Each step prints `ok NAME` or `FAIL NAME why`; a
// failed one does not end the run, but what stands on it fails too. test_go_client.py reads the names from these files.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/fortanix/sdkms-client-go/sdkms"
)

const nobody = "00000000-0000-4000-8000-000000000000"

var (
	ctx  = context.Background()
	text = []byte("what the Go client sends")
	ad   = []byte("bound to it")
)

// Who calls, and what the steps leave for each other.
var (
	admin, app                *sdkms.Client
	account, group, user      string
	row                       *sdkms.App
	apiKey                    string
	aesKey, rsaKey, ecKey     *sdkms.Sobject
	hmacKey, transient        *sdkms.Sobject
	aesMaterial, hmacMaterial []byte
)

func step(name string, run func() error) {
	err := guarded(run)
	if err != nil {
		fmt.Printf("FAIL %s %s\n", name, strings.ReplaceAll(err.Error(), "\n", " / "))
		return
	}
	fmt.Printf("ok %s\n", name)
}

func guarded(run func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	return run()
}

// Ends the step: the caller of a step recovers.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what string, parts ...any) {
	if !holds {
		panic(fmt.Sprintf(what, parts...))
	}
}

// The client must return its own error, with the status and the server's text.
func refused(status int, said string, err error) {
	var backend *sdkms.BackendError
	check(errors.As(err, &backend), "not refused by the server: %v", err)
	check(backend.StatusCode == status, "status %d, not %d: %s", backend.StatusCode, status, backend.Message)
	check(strings.Contains(strings.ToLower(backend.Message), strings.ToLower(said)), "it said %q", backend.Message)
}

func unique(what string) *string {
	var random [4]byte
	_, err := rand.Read(random[:])
	must(err)
	return sdkms.Some("go-" + what + "-" + hex.EncodeToString(random[:]))
}

func client(auth sdkms.Authorization) *sdkms.Client {
	pem, err := os.ReadFile(os.Getenv("STEPS_CA"))
	must(err)
	pool := x509.NewCertPool()
	check(pool.AppendCertsFromPEM(pem), "the CA file holds no certificate")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return &sdkms.Client{Endpoint: os.Getenv("STEPS_URL"), HTTPClient: &http.Client{Transport: transport}, Auth: auth}
}

func byID(key *sdkms.Sobject) *sdkms.SobjectDescriptor {
	return sdkms.SobjectByID(*key.Kid)
}

func symmetric(mode sdkms.CipherMode) *sdkms.CryptMode {
	return sdkms.CryptModeSymmetric(mode)
}

func generated(kind sdkms.ObjectType, operations sdkms.KeyOperations, shape func(*sdkms.SobjectRequest)) *sdkms.Sobject {
	request := sdkms.SobjectRequest{
		Name:    unique(strings.ToLower(string(kind))),
		ObjType: sdkms.Some(kind),
		KeyOps:  sdkms.Some(operations | sdkms.KeyOperationsAppmanageable),
	}
	shape(&request)
	key, err := app.CreateSobject(ctx, request)
	must(err)
	return key
}

func main() {
	sessions()
	factors()
	administration()
	objects()
	data()
	keysOfKeys()
	batches()
	lives()
	passwords()
	proofs()
	certificates()
	approvals()
	ending()
}

func sessions() {
	step("version_and_health", func() error {
		answer, err := client(nil).Version(ctx)
		must(err)
		check(answer.Version != "" && strings.HasPrefix(answer.APIVersion, "v1-"), "%+v", answer)
		return client(nil).GetHealth(ctx, nil)
	})
	step("a_stranger_is_401", func() error {
		_, err := client(nil).ListGroups(ctx, nil)
		refused(401, "authentication", err)
		return nil
	})
	step("log_in_as_a_user", func() error {
		admin = client(nil)
		answer, err := admin.AuthenticateWithUserPass(ctx, os.Getenv("STEPS_EMAIL"), os.Getenv("STEPS_PASSWORD"))
		must(err)
		check(answer.ExpiresIn > 0 && answer.EntityID != "", "%+v", answer)
		user = answer.EntityID
		return nil
	})
	step("a_wrong_password_is_401", func() error {
		_, err := client(nil).AuthenticateWithUserPass(ctx, os.Getenv("STEPS_EMAIL"), "wrong")
		refused(401, "invalid credentials", err)
		return nil
	})
	step("select_an_account", func() error {
		accounts, err := admin.GetUserAccounts(ctx)
		must(err)
		check(len(accounts) == 1, "%+v", accounts)
		for account = range accounts {
		}
		_, err = admin.SelectAccount(ctx, sdkms.SelectAccountRequest{AcctID: account})
		return err
	})
	step("refresh_a_session", func() error { return admin.Refresh(ctx) })
	step("trade_a_session", func() error {
		before := client(admin.Auth)
		answer, err := admin.Reauthenticate(ctx)
		must(err)
		admin.Auth = sdkms.BearerToken(answer.AccessToken)
		_, err = before.ListGroups(ctx, nil)
		refused(401, "session has ended", err)
		_, err = admin.ListGroups(ctx, nil)
		return err
	})
}

func administration() {
	step("read_the_account", func() error {
		found, err := admin.GetAccount(ctx, account, nil)
		must(err)
		check(found.AcctID == account && found.Enabled, "%+v", found)
		listed, err := admin.ListAccounts(ctx, nil)
		must(err)
		check(len(listed) == 1 && listed[0].AcctID == account, "%+v", listed)
		return nil
	})
	step("change_the_account", func() error {
		changed, err := admin.UpdateAccount(ctx, account, sdkms.AccountRequest{Organization: sdkms.Some("Go")})
		must(err)
		check(changed.Organization != nil && *changed.Organization == "Go", "%+v", changed)
		return nil
	})
	step("list_users", func() error {
		users, err := admin.ListUsers(ctx, nil)
		must(err)
		for _, user := range users {
			if user.UserEmail == os.Getenv("STEPS_EMAIL") {
				_, err = admin.GetUser(ctx, user.UserID)
				return err
			}
		}
		return fmt.Errorf("the administrator is not listed: %+v", users)
	})
	step("create_and_change_a_group", func() error {
		created, err := admin.CreateGroup(ctx, sdkms.GroupRequest{Name: unique("group")})
		must(err)
		group = created.GroupID
		changed, err := admin.UpdateGroup(ctx, group, sdkms.GroupRequest{Description: sdkms.Some("changed")})
		must(err)
		found, err := admin.GetGroup(ctx, group)
		must(err)
		check(*changed.Description == "changed" && *found.Description == "changed", "%+v", found)
		return nil
	})
	step("list_groups", func() error {
		groups, err := admin.ListGroups(ctx, &sdkms.GetGroupsParams{Limit: sdkms.Some(uint(100)), SortBy: &sdkms.GroupSort{}})
		must(err)
		for _, found := range groups {
			if found.GroupID == group {
				return nil
			}
		}
		return fmt.Errorf("the group is not listed: %+v", groups)
	})
	step("create_an_app_with_permissions", func() error {
		everything := sdkms.AppPermissionsSign | sdkms.AppPermissionsVerify | sdkms.AppPermissionsEncrypt |
			sdkms.AppPermissionsDecrypt | sdkms.AppPermissionsWrapkey | sdkms.AppPermissionsUnwrapkey |
			sdkms.AppPermissionsMacgenerate | sdkms.AppPermissionsMacverify | sdkms.AppPermissionsExport |
			sdkms.AppPermissionsManage | sdkms.AppPermissionsAudit
		created, err := admin.CreateApp(ctx, nil, sdkms.AppRequest{
			Name:         unique("app"),
			AddGroups:    &sdkms.AppGroups{group: &everything},
			DefaultGroup: &group,
		})
		must(err)
		row = created
		held := row.Groups[group]
		check(held != nil && *held&sdkms.AppPermissionsEncrypt != 0, "%+v", row.Groups)
		return nil
	})
	step("read_the_api_key", func() error {
		answer, err := admin.GetAppCredential(ctx, row.AppID)
		must(err)
		apiKey = base64.StdEncoding.EncodeToString([]byte(row.AppID + ":" + *answer.Credential.Secret))
		return nil
	})
	step("list_and_change_apps", func() error {
		listed, err := admin.ListApps(ctx, &sdkms.ListAppsParams{GroupID: &group, GroupPermissions: sdkms.Some(true)})
		must(err)
		check(len(listed) == 1 && listed[0].AppID == row.AppID, "%+v", listed)
		changed, err := admin.UpdateApp(ctx, row.AppID, nil, sdkms.AppRequest{Description: sdkms.Some("changed")})
		must(err)
		check(*changed.Description == "changed", "%+v", changed)
		_, err = admin.GetApp(ctx, row.AppID, nil)
		return err
	})
	step("list_apps_sorted", func() error {
		params := sdkms.ListAppsParams{Sort: sdkms.AppSort{ByAppID: &sdkms.AppSortByAppId{Order: sdkms.OrderAscending}}}
		listed, err := admin.ListApps(ctx, &params)
		must(err)
		ids := []string{}
		for _, found := range listed {
			ids = append(ids, found.AppID)
		}
		check(sort.StringsAreSorted(ids), "%v", ids)
		return nil
	})
	step("reset_a_secret_and_delete_the_app", func() error {
		created, err := admin.CreateApp(ctx, nil, sdkms.AppRequest{
			Name: unique("app"), AddGroups: &sdkms.AppGroups{group: nil}, DefaultGroup: &group,
		})
		must(err)
		before, err := admin.GetAppCredential(ctx, created.AppID)
		must(err)
		_, err = admin.ResetAppSecret(ctx, created.AppID, nil, sdkms.AppResetSecretRequest{SecretSize: sdkms.Some(uint32(32))})
		must(err)
		after, err := admin.GetAppCredential(ctx, created.AppID)
		must(err)
		check(*before.Credential.Secret != *after.Credential.Secret, "the secret stayed")
		must(admin.DeleteApp(ctx, created.AppID))
		_, err = admin.GetApp(ctx, created.AppID, nil)
		refused(404, "app does not exist", err)
		return nil
	})
	step("log_in_as_an_app", func() error {
		answer, err := client(nil).AuthenticateWithAPIKey(ctx, apiKey)
		must(err)
		check(answer.EntityID == row.AppID, "%+v", answer)
		return nil
	})
	step("the_api_key_on_every_call", func() error {
		app = client(sdkms.APIKey(apiKey))
		for range [3]int{} {
			_, err := app.ListSobjects(ctx, nil)
			must(err)
		}
		return nil
	})
	step("an_app_creating_groups_is_403", func() error {
		_, err := app.CreateGroup(ctx, sdkms.GroupRequest{Name: unique("group")})
		refused(403, "create groups", err)
		return nil
	})
}

func objects() {
	step("create_an_aes_key", func() error {
		aesKey = generated(sdkms.ObjectTypeAes, sdkms.KeyOperationsEncrypt|sdkms.KeyOperationsDecrypt|
			sdkms.KeyOperationsWrapkey|sdkms.KeyOperationsUnwrapkey|sdkms.KeyOperationsExport,
			func(request *sdkms.SobjectRequest) {
				request.KeySize = sdkms.Some(uint32(256))
				request.CustomMetadata = &map[string]string{"owner": "go"}
			})
		check(*aesKey.KeySize == 256 && aesKey.Enabled && (*aesKey.CustomMetadata)["owner"] == "go", "%+v", aesKey)
		_, err := aesKey.CreatedAt.Std()
		return err
	})
	step("create_an_rsa_key", func() error {
		rsaKey = generated(sdkms.ObjectTypeRsa, sdkms.KeyOperationsSign|sdkms.KeyOperationsVerify,
			func(request *sdkms.SobjectRequest) { request.KeySize = sdkms.Some(uint32(2048)) })
		check(rsaKey.PubKey != nil, "no public key")
		return nil
	})
	step("create_an_ec_key", func() error {
		ecKey = generated(sdkms.ObjectTypeEc, sdkms.KeyOperationsSign|sdkms.KeyOperationsVerify,
			func(request *sdkms.SobjectRequest) { request.EllipticCurve = sdkms.Some(sdkms.EllipticCurveNistP256) })
		check(ecKey.PubKey != nil, "no public key")
		return nil
	})
	step("create_a_transient_key", func() error {
		transient = generated(sdkms.ObjectTypeAes, sdkms.KeyOperationsEncrypt|sdkms.KeyOperationsDecrypt,
			func(request *sdkms.SobjectRequest) {
				request.KeySize = sdkms.Some(uint32(256))
				request.Transient = sdkms.Some(true)
			})
		check(transient.TransientKey != nil && transient.Kid == nil, "%+v", transient)
		return nil
	})
	step("import_an_hmac_key", func() error {
		hmacMaterial = bytes.Repeat([]byte{7}, 32)
		key, err := app.ImportSobject(ctx, sdkms.SobjectRequest{
			Name:    unique("hmac"),
			ObjType: sdkms.Some(sdkms.ObjectTypeHmac),
			Value:   &hmacMaterial,
			KeyOps: sdkms.Some(sdkms.KeyOperationsMacgenerate | sdkms.KeyOperationsMacverify |
				sdkms.KeyOperationsExport | sdkms.KeyOperationsAppmanageable),
		})
		hmacKey = key
		return err
	})
	step("get_by_id_and_by_name", func() error {
		for _, descriptor := range []*sdkms.SobjectDescriptor{byID(aesKey), sdkms.SobjectByName(*aesKey.Name)} {
			found, err := app.GetSobject(ctx, nil, *descriptor)
			must(err)
			check(*found.Kid == *aesKey.Kid, "%+v", found)
		}
		return nil
	})
	step("list_sorted_by_name", func() error {
		for order, ascending := range map[sdkms.Order]bool{sdkms.OrderAscending: true, sdkms.OrderDescending: false} {
			listed, err := app.ListSobjects(ctx, &sdkms.ListSobjectsParams{
				Sort: &sdkms.SobjectSort{ByName: &sdkms.SobjectSortByName{Order: order}},
			})
			must(err)
			names := []string{}
			for _, found := range listed.Items {
				names = append(names, *found.Name)
			}
			less := func(i, j int) bool { return (names[i] < names[j]) == ascending }
			check(len(names) == 4 && sort.SliceIsSorted(names, less), "%v", names)
		}
		return nil
	})
	step("list_in_pages_by_kid", func() error {
		seen := map[string]bool{}
		var start *string
		for range [4]int{} {
			listed, err := app.ListSobjects(ctx, &sdkms.ListSobjectsParams{
				Limit: sdkms.Some(uint(1)),
				Sort:  &sdkms.SobjectSort{ByKid: &sdkms.SobjectSortByKid{Order: sdkms.OrderAscending, Start: start}},
			})
			must(err)
			check(len(listed.Items) == 1, "%d items", len(listed.Items))
			start = listed.Items[0].Kid
			seen[*start] = true
		}
		check(len(seen) == 4, "%v", seen)
		return nil
	})
	step("list_with_filters_and_counts", func() error {
		listed, err := app.ListSobjects(ctx, &sdkms.ListSobjectsParams{
			Sort:           &sdkms.SobjectSort{},
			GroupID:        &group,
			ObjType:        sdkms.Some(sdkms.ObjectTypeAes),
			CustomMetadata: &sdkms.CustomMetadata{"owner": "go"},
			WithMetadata:   sdkms.Some(true),
		})
		must(err)
		check(len(listed.Items) == 1 && *listed.Items[0].Kid == *aesKey.Kid, "%+v", listed.Items)
		check(*listed.Md.TotalCount == 4 && *listed.Md.FilteredCount == 1, "%d", *listed.Md.TotalCount)
		return nil
	})
	step("update_an_object", func() error {
		changed, err := app.UpdateSobject(ctx, *aesKey.Kid, sdkms.SobjectRequest{Description: sdkms.Some("changed")})
		must(err)
		check(*changed.Description == "changed", "%+v", changed)
		return nil
	})
	step("export_an_object", func() error {
		found, err := app.ExportSobject(ctx, *byID(aesKey))
		must(err)
		aesMaterial = *found.Value
		check(len(aesMaterial) == 32, "%d bytes", len(aesMaterial))
		return nil
	})
	step("exporting_what_may_not_leave_is_403", func() error {
		_, err := app.ExportSobject(ctx, *byID(rsaKey))
		refused(403, "export", err)
		return nil
	})
	step("an_unknown_object_is_404", func() error {
		_, err := app.GetSobject(ctx, nil, *sdkms.SobjectByID(nobody))
		refused(404, "does not exist", err)
		return nil
	})
	step("a_second_object_of_the_name_is_409", func() error {
		_, err := app.CreateSobject(ctx, sdkms.SobjectRequest{
			Name: aesKey.Name, ObjType: sdkms.Some(sdkms.ObjectTypeAes), KeySize: sdkms.Some(uint32(256)),
		})
		refused(409, "name", err)
		return nil
	})
}

func data() {
	step("encrypt_and_decrypt_gcm", func() error {
		sealed, err := app.Encrypt(ctx, sdkms.EncryptRequest{
			Key: byID(aesKey), Alg: sdkms.AlgorithmAes, Plain: text, Mode: symmetric(sdkms.CipherModeGcm),
			Ad: &ad, TagLen: sdkms.Some(uint(128)),
		})
		must(err)
		block, err := aes.NewCipher(aesMaterial)
		must(err)
		gcm, err := cipher.NewGCM(block)
		must(err)
		opened, err := gcm.Open(nil, *sealed.Iv, append(append([]byte{}, sealed.Cipher...), *sealed.Tag...), ad)
		must(err)
		check(bytes.Equal(opened, text), "it opens to %q", opened)
		again, err := app.Decrypt(ctx, sdkms.DecryptRequest{
			Key: byID(aesKey), Alg: sdkms.Some(sdkms.AlgorithmAes), Cipher: sealed.Cipher,
			Mode: symmetric(sdkms.CipherModeGcm), Iv: sealed.Iv, Ad: &ad, Tag: sealed.Tag,
		})
		must(err)
		check(bytes.Equal(again.Plain, text), "it decrypts to %q", again.Plain)
		return nil
	})
	step("encrypt_and_decrypt_by_name", func() error {
		key := sdkms.SobjectByName(*aesKey.Name)
		sealed, err := app.Encrypt(ctx, sdkms.EncryptRequest{
			Key: key, Alg: sdkms.AlgorithmAes, Plain: text, Mode: symmetric(sdkms.CipherModeCbc),
		})
		must(err)
		again, err := app.Decrypt(ctx, sdkms.DecryptRequest{
			Key: key, Cipher: sealed.Cipher, Mode: symmetric(sdkms.CipherModeCbc), Iv: sealed.Iv,
		})
		must(err)
		check(bytes.Equal(again.Plain, text), "it decrypts to %q", again.Plain)
		return nil
	})
	step("encrypt_and_decrypt_with_a_transient_key", func() error {
		key := sdkms.TransientKey(*transient.TransientKey)
		sealed, err := app.Encrypt(ctx, sdkms.EncryptRequest{
			Key: key, Alg: sdkms.AlgorithmAes, Plain: text, Mode: symmetric(sdkms.CipherModeCtr),
		})
		must(err)
		again, err := app.Decrypt(ctx, sdkms.DecryptRequest{
			Key: key, Cipher: sealed.Cipher, Mode: symmetric(sdkms.CipherModeCtr), Iv: sealed.Iv,
		})
		must(err)
		check(bytes.Equal(again.Plain, text), "it decrypts to %q", again.Plain)
		return nil
	})
	step("a_wrong_iv_is_400", func() error {
		short := make([]byte, 7)
		_, err := app.Encrypt(ctx, sdkms.EncryptRequest{
			Key: byID(aesKey), Alg: sdkms.AlgorithmAes, Plain: text, Mode: symmetric(sdkms.CipherModeGcm), Iv: &short,
		})
		refused(400, "at least 8 bytes", err)
		return nil
	})
	step("sign_and_verify_rsa_pss", func() error {
		mode := sdkms.SignatureModeRSA(sdkms.RsaSignaturePaddingPSSMGF1(sdkms.DigestAlgorithmSha256))
		signature := signed(rsaKey, mode)
		digest := sha256.Sum256(text)
		return rsa.VerifyPSS(public(rsaKey).(*rsa.PublicKey), crypto.SHA256, digest[:], signature, nil)
	})
	step("sign_and_verify_rsa_pkcs1", func() error {
		signature := signed(rsaKey, sdkms.SignatureModeRSA(sdkms.RsaSignaturePaddingPKCS1V15()))
		digest := sha256.Sum256(text)
		return rsa.VerifyPKCS1v15(public(rsaKey).(*rsa.PublicKey), crypto.SHA256, digest[:], signature)
	})
	step("sign_and_verify_ecdsa", func() error {
		digest := sha256.Sum256(text)
		check(ecdsa.VerifyASN1(public(ecKey).(*ecdsa.PublicKey), digest[:], signed(ecKey, nil)), "it does not verify")
		return nil
	})
	step("sign_and_verify_in_batches", func() error {
		item := sdkms.SignRequest{Key: byID(ecKey), HashAlg: sdkms.DigestAlgorithmSha256, Data: &text}
		unknown := item
		unknown.Key = sdkms.SobjectByID(nobody)
		answers, err := app.BatchSign(ctx, []sdkms.SignRequest{item, unknown})
		must(err)
		good, err := answers[0].Result()
		must(err)
		_, err = answers[1].Result()
		refused(404, "does not exist", err)
		verified, err := app.BatchVerify(ctx, []sdkms.VerifyRequest{
			{Key: byID(ecKey), HashAlg: sdkms.DigestAlgorithmSha256, Data: &text, Signature: good.Signature},
		})
		must(err)
		result, err := verified[0].Result()
		must(err)
		check(result.Result, "it does not verify")
		return nil
	})
	step("wrap_and_unwrap", func() error {
		wrapped, err := app.Wrap(ctx, sdkms.WrapKeyRequest{
			Key: byID(aesKey), Subject: byID(hmacKey), Alg: sdkms.AlgorithmAes, Mode: symmetric(sdkms.CipherModeKwp),
		})
		must(err)
		key, err := app.Unwrap(ctx, sdkms.UnwrapKeyRequest{
			Key: byID(aesKey), Alg: sdkms.AlgorithmAes, Mode: symmetric(sdkms.CipherModeKwp),
			ObjType: sdkms.ObjectTypeHmac, WrappedKey: wrapped.WrappedKey, Name: unique("unwrapped"),
			KeyOps: sdkms.Some(sdkms.KeyOperationsMacgenerate | sdkms.KeyOperationsAppmanageable),
		})
		must(err)
		check(bytes.Equal(mac(key), expectedMac()), "the unwrapped key is another")
		return nil
	})
	step("wrapping_what_may_not_leave_is_403", func() error {
		_, err := app.Wrap(ctx, sdkms.WrapKeyRequest{
			Key: byID(aesKey), Subject: byID(ecKey), Alg: sdkms.AlgorithmAes, Mode: symmetric(sdkms.CipherModeKwp),
		})
		refused(403, "export", err)
		return nil
	})
	step("mac_and_verify", func() error {
		made := mac(hmacKey)
		check(bytes.Equal(made, expectedMac()), "the MAC is another")
		for data, expected := range map[string]bool{string(text): true, string(ad): false} {
			answer, err := app.MacVerify(ctx, sdkms.VerifyMacRequest{
				Key: byID(hmacKey), Alg: sdkms.Some(sdkms.DigestAlgorithmSha256), Data: []byte(data), Mac: &made,
			})
			must(err)
			check(answer.Result == expected, "%q: %v", data, answer.Result)
		}
		return nil
	})
	step("digest_data", func() error {
		answer, err := app.CreateDigest(ctx, sdkms.DigestRequest{Alg: sdkms.DigestAlgorithmSha256, Data: text})
		must(err)
		expected := sha256.Sum256(text)
		check(bytes.Equal(answer.Digest, expected[:]), "the digest is another")
		return nil
	})
	step("a_key_without_the_operation_is_403", func() error {
		_, err := app.Sign(ctx, sdkms.SignRequest{Key: byID(aesKey), HashAlg: sdkms.DigestAlgorithmSha256, Data: &text})
		refused(403, "sign", err)
		return nil
	})
}

// Objects made of others, and what strangers may see of them.
func keysOfKeys() {
	step("copy_a_key", func() error {
		made, err := app.CopySobject(ctx, sdkms.CopySobjectRequest{
			Key:  *byID(aesKey),
			Dest: sdkms.SobjectRequest{Name: unique("copy"), Description: sdkms.Some("the same again")},
		})
		must(err)
		check(*made.Kid != *aesKey.Kid && *made.Links.CopiedFrom == *aesKey.Kid, "%+v", made)
		source, err := app.GetSobject(ctx, nil, *byID(aesKey))
		must(err)
		check(len(*source.Links.CopiedTo) == 1 && (*source.Links.CopiedTo)[0] == *made.Kid, "%+v", source.Links)
		exported, err := app.ExportSobject(ctx, *byID(made))
		must(err)
		check(bytes.Equal(*exported.Value, aesMaterial), "the copy is another key")
		return nil
	})
	step("a_copy_gains_no_operation", func() error {
		_, err := app.CopySobject(ctx, sdkms.CopySobjectRequest{
			Key: *byID(ecKey),
			Dest: sdkms.SobjectRequest{
				Name:   unique("copy"),
				KeyOps: sdkms.Some(sdkms.KeyOperationsSign | sdkms.KeyOperationsExport),
			},
		})
		refused(400, "does not permit", err)
		return nil
	})
	step("keep_a_transient_key", func() error {
		made, err := app.PersistTransientKey(ctx, sdkms.PersistTransientKeyRequest{
			Name: *unique("kept"), TransientKey: *transient.TransientKey,
		})
		must(err)
		check(made.Origin == sdkms.ObjectOriginTransient && made.Kid != nil, "%+v", made)
		return nil
	})
	step("split_and_join_a_key", func() error {
		custodians := []sdkms.Principal{{User: &user}, {App: &row.AppID}}
		split, err := admin.ExportSobjectComponents(ctx, sdkms.ExportSobjectComponentsRequest{
			Key: *byID(aesKey), Custodians: custodians, Method: sdkms.Some(sdkms.SplittingMethodXOR),
		})
		must(err)
		check(len(split.Components) == 2 && *split.Components[1].Custodian.App == row.AppID, "%+v", split)
		for number, value := range split.Components[0].Component {
			check(value^split.Components[1].Component[number] == aesMaterial[number], "another key")
		}
		joined, err := admin.ImportSobjectByComponents(ctx, sdkms.ImportSobjectComponentsRequest{
			Key: sdkms.SobjectRequest{
				Name: unique("joined"), ObjType: sdkms.Some(sdkms.ObjectTypeAes), GroupID: &group, Kcv: split.KeyKcv,
			},
			Custodians: custodians,
			Components: &split.Components,
		})
		must(err)
		check(*joined.Kcv == *split.KeyKcv, "%+v", joined)
		return nil
	})
	step("publish_a_public_key", func() error {
		name := unique("published")
		enabled := sdkms.PublishPublicKeyConfig{Enabled: &sdkms.PublishPublicKeyConfigEnabled{}}
		key := generated(sdkms.ObjectTypeEc, sdkms.KeyOperationsSign, func(request *sdkms.SobjectRequest) {
			request.Name, request.PublishPublicKey = name, &enabled
			request.EllipticCurve = sdkms.Some(sdkms.EllipticCurveNistP256)
		})
		found, err := client(nil).GetPubkey(ctx, account, *name)
		must(err)
		check(len(found) == 1 && bytes.Equal(found[*key.Kid], *key.PubKey), "%+v", found)
		_, err = client(nil).GetPubkey(ctx, account, *rsaKey.Name)
		refused(404, "no published public key", err)
		return nil
	})
}

func batches() {
	item := func(method, path string, body any) sdkms.BatchRequest {
		return sdkms.BatchRequest{SingleItem: &sdkms.BatchRequestItem{Method: method, Operation: path, Body: body}}
	}
	list := func(kind sdkms.BatchExecutionType, items ...sdkms.BatchRequest) sdkms.BatchRequest {
		return sdkms.BatchRequest{Batch: &sdkms.BatchRequestList{BatchExecutionType: kind, Items: items}}
	}
	encrypt := func(mode sdkms.CipherMode) sdkms.BatchRequest {
		return item("POST", "/crypto/v1/encrypt", sdkms.EncryptRequest{
			Key: byID(aesKey), Alg: sdkms.AlgorithmAes, Plain: text, Mode: symmetric(mode),
		})
	}
	step("an_unordered_batch_runs_all", func() error {
		answer, err := app.Batch(ctx, list(sdkms.BatchExecutionTypeUnordered,
			encrypt(sdkms.CipherModeCbc), encrypt(sdkms.CipherModeEcb), item("GET", "/crypto/v1/keys/"+*aesKey.Kid, nil)))
		must(err)
		check(len(answer.Batch.Items) == 3, "%+v", answer)
		for number, status := range []uint16{200, 400, 200} { // ECB takes whole blocks
			result := answer.Batch.Items[number].SingleItem.Result
			check(result != nil && result.Status == status, "%d: %+v", number, result)
		}
		name := answer.Batch.Items[2].SingleItem.Result.Body.(map[string]any)["name"]
		check(name == *aesKey.Name, "%v", name)
		return nil
	})
	step("a_serial_batch_stops_at_the_first_failure", func() error {
		answer, err := app.Batch(ctx, list(sdkms.BatchExecutionTypeSerial,
			encrypt(sdkms.CipherModeEcb), list(sdkms.BatchExecutionTypeUnordered, encrypt(sdkms.CipherModeCbc))))
		must(err)
		check(answer.Batch.Items[0].SingleItem.Result.Status == 400, "%+v", answer.Batch.Items[0])
		skipped := answer.Batch.Items[1].Batch.Items[0].SingleItem
		check(skipped.Result == nil && skipped.Skipped.Reason != "", "%+v", skipped)
		return nil
	})
	step("a_batch_with_a_login_inside_is_400_there", func() error {
		answer, err := app.Batch(ctx, item("POST", "/sys/v1/session/terminate", nil))
		must(err)
		check(answer.SingleItem.Result.Status == 400, "%+v", answer.SingleItem.Result)
		_, err = app.GetSobject(ctx, nil, *byID(aesKey))
		return err
	})
}

func ending() {
	// The client's own IpAddr parses the quotes along with the address, so it decodes no entry that has one.
	step("the_audit_log_meets_a_defect_of_the_client", func() error {
		_, err := admin.GetAllLogs(ctx, &sdkms.LogsParams{Size: sdkms.Some(uint32(1)), ObjectID: aesKey.Kid})
		check(err != nil && strings.Contains(err.Error(), "invalid IP address"), "%v", err)
		return nil
	})
	step("read_the_audit_log", func() error {
		found := logs("size=100&object_id=" + *aesKey.Kid)
		actors := map[string]bool{}
		for _, hit := range found.Hits {
			actors[hit.Source.ActorID] = true
			check(time.Since(time.Time(hit.Source.Time)) < time.Hour, "%v", time.Time(hit.Source.Time))
		}
		check(len(found.Hits) > 5 && actors[row.AppID], "%d entries by %v", len(found.Hits), actors)
		return nil
	})
	step("page_the_audit_log", func() error {
		kind := sdkms.ActionTypeCryptoOperation
		first := logs("size=1&action_type=" + string(kind))
		check(len(first.Hits) == 1 && first.Hits[0].Source.ActionType == kind, "%+v", first.Hits)
		second := logs("size=1&action_type=" + string(kind) + "&previous_id=" + first.Hits[0].ID)
		check(len(second.Hits) == 1 && second.Hits[0].ID != first.Hits[0].ID, "%+v", second.Hits)
		return nil
	})
	step("filter_the_audit_log", func() error {
		found, err := admin.GetAllLogs(ctx, &sdkms.LogsParams{
			ActionType: &[]sdkms.ActionType{sdkms.ActionTypeAuth, sdkms.ActionTypeAdministrative},
			ObjectID:   sdkms.Some(nobody),
		})
		must(err)
		check(len(found.Hits) == 0, "%+v", found.Hits)
		return nil
	})
	step("no_plugins_are_listed", func() error {
		plugins, err := admin.ListPlugins(ctx, nil)
		must(err)
		check(len(plugins) == 0, "%+v", plugins)
		return nil
	})
	step("what_is_not_offered_is_refused", func() error {
		_, err := admin.GetPlugin(ctx, nobody)
		refused(404, "no such path", err)
		return nil
	})
	step("delete_an_object", func() error {
		must(app.DeleteSobject(ctx, *ecKey.Kid))
		_, err := app.GetSobject(ctx, nil, *byID(ecKey))
		refused(404, "does not exist", err)
		return nil
	})
	step("terminate_a_session", func() error {
		before := client(admin.Auth)
		must(admin.TerminateSession(ctx))
		_, err := before.ListGroups(ctx, nil)
		refused(401, "session has ended", err)
		return nil
	})
}

// What becomes of objects.
func lives() {
	encrypted := func(name string) *sdkms.EncryptResponse {
		sealed, err := app.Encrypt(ctx, sdkms.EncryptRequest{
			Key: sdkms.SobjectByName(name), Alg: sdkms.AlgorithmAes, Plain: text, Mode: symmetric(sdkms.CipherModeCbc),
		})
		must(err)
		return sealed
	}
	opens := func(sealed *sdkms.EncryptResponse) {
		opened, err := app.Decrypt(ctx, sdkms.DecryptRequest{
			Key: sdkms.SobjectByID(*sealed.Kid), Alg: sdkms.Some(sdkms.AlgorithmAes), Cipher: sealed.Cipher,
			Mode: symmetric(sdkms.CipherModeCbc), Iv: sealed.Iv,
		})
		must(err)
		check(bytes.Equal(opened.Plain, text), "it opens to something else")
	}
	newKey := func(shape func(*sdkms.SobjectRequest)) *sdkms.Sobject {
		operations := sdkms.KeyOperationsEncrypt | sdkms.KeyOperationsDecrypt
		return generated(sdkms.ObjectTypeAes, operations, func(request *sdkms.SobjectRequest) {
			request.KeySize = sdkms.Some(uint32(256))
			shape(request)
		})
	}
	plain := func(*sdkms.SobjectRequest) {}
	see := func(id string) *sdkms.Sobject {
		found, err := app.GetSobject(ctx, &sdkms.GetSobjectParams{ShowDeleted: sdkms.Some(true)}, *sdkms.SobjectByID(id))
		must(err)
		return found
	}
	step("rotate_a_key", func() error {
		policy := sdkms.RotationPolicy{
			Interval:             &sdkms.RotationInterval{IntervalMonths: sdkms.Some(uint32(6))},
			DeactivateRotatedKey: sdkms.Some(true),
		}
		old := newKey(func(request *sdkms.SobjectRequest) { request.RotationPolicy = &policy })
		check(old.ScheduledRotation != nil, "%+v", old)
		before := encrypted(*old.Name)
		made, err := app.RotateSobject(ctx, sdkms.SobjectRekeyRequest{
			DeactivateRotatedKey: sdkms.Some(true), Dest: sdkms.SobjectRequest{Name: old.Name},
		})
		must(err)
		check(*made.Name == *old.Name && *made.Links.Replaced == *old.Kid, "%+v", made)
		check(*made.RotationPolicy.Interval.IntervalMonths == 6, "%+v", made.RotationPolicy)
		found := see(*old.Kid)
		check(*found.Links.Replacement == *made.Kid && *found.State == sdkms.SobjectStateDeactivated, "%+v", found)
		check(strings.HasPrefix(*found.Name, *old.Name+" (rotated at "), "%s", *found.Name)
		opens(before)
		opens(encrypted(*old.Name))
		return nil
	})
	step("replace_a_key_by_another", func() error {
		old, other := newKey(plain), newKey(plain)
		former := unique("former")
		must(app.ReplaceSobject(ctx, sdkms.SobjectReplaceRequest{
			Replaced:        sdkms.SobjectDescriptorPersisted{Name: old.Name},
			ReplacedNewName: *former,
			Replacement:     sdkms.SobjectDescriptorPersisted{Kid: other.Kid},
		}))
		check(*see(*other.Kid).Name == *old.Name && *see(*old.Kid).Name == *former, "the names did not change hands")
		return nil
	})
	step("revoke_destroy_and_delete_a_key", func() error {
		key := newKey(plain)
		sealed := encrypted(*key.Name)
		refused(400, "cannot destroy an object that is active", app.DestroySobject(ctx, *key.Kid))
		must(app.RevokeSobject(ctx, *key.Kid, sdkms.RevocationReason{
			Code: sdkms.RevocationReasonCodeKeyCompromise, Message: sdkms.Some("on a laptop"),
		}))
		found := see(*key.Kid)
		check(*found.State == sdkms.SobjectStateCompromised && found.CompromiseDate != nil, "%+v", found)
		check(*found.RevocationReason.Message == "on a laptop", "%+v", found.RevocationReason)
		opens(sealed)
		must(app.DestroySobject(ctx, *key.Kid))
		check(*see(*key.Kid).State == sdkms.SobjectStateDestroyed, "%+v", see(*key.Kid))
		must(app.DeleteSobject(ctx, *key.Kid))
		check(*see(*key.Kid).State == sdkms.SobjectStateDeleted, "%+v", see(*key.Kid))
		_, err := app.GetSobject(ctx, nil, *byID(key))
		refused(404, "does not exist", err)
		return nil
	})
	step("remove_a_private_key", func() error {
		key := generated(sdkms.ObjectTypeEc, sdkms.KeyOperationsSign|sdkms.KeyOperationsVerify, func(request *sdkms.SobjectRequest) {
			request.EllipticCurve = sdkms.Some(sdkms.EllipticCurveNistP256)
		})
		must(app.RemovePrivate(ctx, *key.Kid))
		found := see(*key.Kid)
		check(found.PublicOnly && bytes.Equal(*found.PubKey, *key.PubKey), "%+v", found)
		_, err := app.Sign(ctx, sdkms.SignRequest{Key: byID(key), HashAlg: sdkms.DigestAlgorithmSha256, Data: &text})
		refused(403, "sign", err)
		return nil
	})
	step("take_changes_back", func() error {
		removable := sdkms.Removable[sdkms.KeyHistoryPolicy]{}
		policy := removable.BuildStruct(sdkms.KeyHistoryPolicy{UndoTimeWindow: 3600})
		_, err := admin.UpdateGroup(ctx, group, sdkms.GroupRequest{KeyHistoryPolicy: &policy})
		must(err)
		key := newKey(plain)
		sealed := encrypted(*key.Name)
		must(app.RevokeSobject(ctx, *key.Kid, sdkms.RevocationReason{Code: sdkms.RevocationReasonCodeSuperseded}))
		must(app.DestroySobject(ctx, *key.Kid))
		history := *see(*key.Kid).History
		check(len(history) == 2 && history[1].State.State == sdkms.SobjectStateActive, "%+v", history)
		check(history[0].State.RevocationReason.Code == sdkms.RevocationReasonCodeSuperseded, "%+v", history[0])
		must(app.RevertPrevKeyOp(ctx, *key.Kid, sdkms.RevertRequest{Ids: []sdkms.UUID{history[0].ID, history[1].ID}}))
		check(*see(*key.Kid).State == sdkms.SobjectStateActive && see(*key.Kid).History == nil, "%+v", see(*key.Kid))
		opens(sealed)
		policy = removable.RemoveVal()
		row, err := admin.UpdateGroup(ctx, group, sdkms.GroupRequest{KeyHistoryPolicy: &policy})
		must(err)
		check(row.KeyHistoryPolicy == nil, "%+v", row)
		return nil
	})
}

// The log in the client's own types, but past its IpAddr.
func logs(query string) *sdkms.EsAuditQueryResponse {
	request, err := http.NewRequest(http.MethodGet, admin.Endpoint+"/sys/v1/logs?"+query, nil)
	must(err)
	request.Header.Set("Authorization", "Bearer "+string(admin.Auth.(sdkms.BearerToken)))
	response, err := admin.HTTPClient.Do(request)
	must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(err)
	body = regexp.MustCompile(`"client_ip":"[^"]+"`).ReplaceAll(body, []byte(`"client_ip":null`))
	var found sdkms.EsAuditQueryResponse
	must(json.Unmarshal(body, &found))
	return &found
}

func public(key *sdkms.Sobject) any {
	found, err := x509.ParsePKIXPublicKey(*key.PubKey)
	must(err)
	return found
}

// Signed and verified by the server, which must also refuse it for other data.
func signed(key *sdkms.Sobject, mode *sdkms.SignatureMode) []byte {
	answer, err := app.Sign(ctx, sdkms.SignRequest{
		Key: byID(key), HashAlg: sdkms.DigestAlgorithmSha256, Data: &text, Mode: mode,
	})
	must(err)
	for _, data := range [][]byte{text, ad} {
		data := data
		verified, err := app.Verify(ctx, sdkms.VerifyRequest{
			Key: byID(key), HashAlg: sdkms.DigestAlgorithmSha256, Data: &data, Mode: mode, Signature: answer.Signature,
		})
		must(err)
		check(verified.Result == bytes.Equal(data, text), "%q: %v", data, verified.Result)
	}
	return answer.Signature
}

func mac(key *sdkms.Sobject) []byte {
	answer, err := app.Mac(ctx, sdkms.MacRequest{
		Key: byID(key), Alg: sdkms.Some(sdkms.DigestAlgorithmSha256), Data: text,
	})
	must(err)
	return answer.Mac
}

func expectedMac() []byte {
	expected := hmac.New(sha256.New, hmacMaterial)
	expected.Write(text)
	return expected.Sum(nil)
}
