// Second factors with the vendor's Go client: a U2F key in software, recovery codes. The client's own Base64UrlSafe writes
// past its buffer and reads nothing, so it can neither send nor receive what FIDO2 needs.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"os"

	"github.com/fortanix/sdkms-client-go/sdkms"
)

// FIDO U2F Raw Message Formats: one key, and how often it was used.
type u2fKey struct {
	private *ecdsa.PrivateKey
	handle  []byte
	counter uint32
}

func newU2fKey() *u2fKey {
	handle := make([]byte, 32)
	_, err := rand.Read(handle)
	must(err)
	return &u2fKey{signingKey(), handle, 0}
}

func (k *u2fKey) clientData(kind, challenge string) []byte {
	data, err := json.Marshal(map[string]string{"typ": kind, "challenge": challenge, "origin": os.Getenv("STEPS_ORIGIN")})
	must(err)
	return data
}

func (k *u2fKey) sign(parts ...[]byte) []byte {
	var data []byte
	for _, part := range parts {
		data = append(data, part...)
	}
	digest := sha256.Sum256(data)
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	must(err)
	return signature
}

func hashed(data []byte) []byte {
	digest := sha256.Sum256(data)
	return digest[:]
}

func (k *u2fKey) register(name, challenge string) sdkms.U2fAddDeviceRequest {
	client := k.clientData("navigator.id.finishEnrollment", challenge)
	point := elliptic.Marshal(elliptic.P256(), k.private.X, k.private.Y)
	application := hashed([]byte(os.Getenv("STEPS_ORIGIN")))
	signature := k.sign([]byte{0}, application, hashed(client), k.handle, point)
	data := append([]byte{5}, point...)
	data = append(append(data, byte(len(k.handle))), k.handle...)
	data = append(append(data, certified(k.private, false)...), signature...)
	return sdkms.U2fAddDeviceRequest{Name: name, RegistrationData: data, ClientData: client, Version: "U2F_V2"}
}

func (k *u2fKey) answer(challenge string) sdkms.U2fAuthRequest {
	k.counter++
	client := k.clientData("navigator.id.getAssertion", challenge)
	head := binary.BigEndian.AppendUint32([]byte{1}, k.counter)
	signature := k.sign(hashed([]byte(os.Getenv("STEPS_ORIGIN"))), head, hashed(client))
	return sdkms.U2fAuthRequest{KeyHandle: k.handle, SignatureData: append(head, signature...), ClientData: client}
}

func logIn() (*sdkms.Client, *sdkms.AuthResponse) {
	other := client(nil)
	answer, err := other.Authenticate(ctx, sdkms.AuthRequest{Password: &sdkms.AuthRequestPassword{
		Email: os.Getenv("STEPS_EMAIL"), Password: os.Getenv("STEPS_PASSWORD"),
	}})
	must(err)
	other.Auth = sdkms.BearerToken(answer.AccessToken)
	return other, answer
}

func factors() {
	key := newU2fKey()
	var codes []string
	step("enrol_a_u2f_key", func() error {
		_, err := admin.GenerateRecoveryCodes(ctx)
		refused(403, "unlock", err)
		_, err = admin.Config2faAuth(ctx, sdkms.Config2faAuthRequest{Password: "wrong"})
		refused(403, "password", err)
		_, err = admin.Config2faAuth(ctx, sdkms.Config2faAuthRequest{Password: os.Getenv("STEPS_PASSWORD")})
		must(err)
		made, err := admin.MfaNewChallenge(ctx, &sdkms.MfaChallengeParams{Protocol: sdkms.MfaProtocolU2f})
		must(err)
		devices := []sdkms.U2fAddDeviceRequest{key.register("go", made.LegacyU2f.U2fChallenge)}
		changed, err := admin.UpdateUser(ctx, user, sdkms.UserRequest{AddU2fDevices: &devices})
		must(err)
		check(len(changed.U2fDevices) == 1 && changed.U2fDevices[0].Type == sdkms.MfaDeviceTypeU2f, "%+v", changed)
		return nil
	})
	step("generate_recovery_codes", func() error {
		made, err := admin.GenerateRecoveryCodes(ctx)
		must(err)
		codes = made.RecoveryCodes
		check(len(codes) == 10, "%d", len(codes))
		return nil
	})
	step("a_login_asks_for_the_key", func() error {
		other, answer := logIn()
		check(answer.Challenge != nil && len(answer.Challenge.U2fKeys) == 1, "%+v", answer)
		handle, err := base64.RawURLEncoding.DecodeString(answer.Challenge.U2fKeys[0].KeyHandle)
		must(err)
		check(string(handle) == string(key.handle), "%x", handle)
		_, err = other.SelectAccount(ctx, sdkms.SelectAccountRequest{AcctID: account})
		must(err)
		_, err = other.ListGroups(ctx, nil)
		refused(403, "second factor", err)
		must(other.U2fAuth(ctx, key.answer(answer.Challenge.U2fChallenge)))
		_, err = other.ListGroups(ctx, nil)
		return err
	})
	step("a_recovery_code_is_good_once", func() error {
		other, _ := logIn()
		must(other.RecoveryCodeAuth(ctx, sdkms.RecoveryCodeAuthRequest{RecoveryCode: codes[0]}))
		again, _ := logIn()
		refused(403, "not accepted", again.RecoveryCodeAuth(ctx, sdkms.RecoveryCodeAuthRequest{RecoveryCode: codes[0]}))
		return nil
	})
	step("remove_the_key_and_lock", func() error {
		devices := []sdkms.MfaDelDeviceRequest{{Name: "go"}}
		changed, err := admin.UpdateUser(ctx, user, sdkms.UserRequest{DelU2fDevices: &devices})
		must(err)
		check(len(changed.MfaDevices) == 0, "%+v", changed)
		must(admin.Config2faTerminate(ctx))
		_, answer := logIn()
		check(answer.Challenge == nil, "%+v", answer)
		return nil
	})
}
