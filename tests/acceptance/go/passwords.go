// Passwords and the codes that are mailed, as far as a program without a mailbox gets.
package main

import (
	"github.com/fortanix/sdkms-client-go/sdkms"
)

func passwords() {
	step("change_a_password_and_ask_for_codes", func() error {
		first, second := "an initial password 1", "seven tall giraffes drink 12 lakes"
		email := *unique("person") + "@example.org"
		invited, err := admin.InviteUser(ctx, sdkms.UserRequest{UserEmail: &email, UserPassword: &first})
		must(err)
		must(admin.ResendInvite(ctx, invited.UserID))
		person := client(nil)
		_, err = person.AuthenticateWithUserPass(ctx, email, first)
		must(err)
		must(person.ResendConfirmEmail(ctx))
		wrong := sdkms.PasswordChangeRequest{CurrentPassword: "not this one", NewPassword: second}
		refused(403, "current password", person.ChangePassword(ctx, wrong))
		must(person.ChangePassword(ctx, sdkms.PasswordChangeRequest{CurrentPassword: first, NewPassword: second}))
		_, err = client(nil).AuthenticateWithUserPass(ctx, email, second)
		must(err)

		stranger := client(nil)
		must(stranger.ForgotPassword(ctx, sdkms.ForgotPasswordRequest{UserEmail: email}))
		must(stranger.ForgotPassword(ctx, sdkms.ForgotPasswordRequest{UserEmail: "nobody@example.org"}))
		_, err = stranger.ValidateToken(ctx, invited.UserID, sdkms.ValidateTokenRequest{ResetToken: "made up"})
		refused(403, "not valid", err)
		reset := sdkms.PasswordResetRequest{ResetToken: "made up", NewPassword: first}
		refused(403, "not valid", stranger.ResetPassword(ctx, invited.UserID, reset))
		_, err = person.ConfirmEmail(ctx, invited.UserID, sdkms.ConfirmEmailRequest{ConfirmToken: "made up"})
		refused(403, "not valid", err)
		return nil
	})
	step("delete_stale_users_and_oneself", func() error {
		email, password := *unique("person")+"@example.org", "an initial password 1"
		stale, err := admin.InviteUser(ctx, sdkms.UserRequest{UserEmail: &email})
		must(err)
		must(admin.DeleteStale(ctx, stale.UserID))
		_, err = admin.InviteUser(ctx, sdkms.UserRequest{UserEmail: &email, UserPassword: &password})
		must(err)
		person := client(nil)
		_, err = person.AuthenticateWithUserPass(ctx, email, password)
		must(err)
		must(person.DeleteUser(ctx))
		_, err = client(nil).AuthenticateWithUserPass(ctx, email, password)
		refused(401, "invalid credentials", err)
		return nil
	})
}
