// A SAML identity provider of another make: crewjam/saml's, behind HTTP on loopback, with the ways of
// identity_provider.py. It prints its address when it is ready.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/logger"
	dsig "github.com/russellhaering/goxmldsig"
)

type person struct {
	Name       string                     `json:"name"`
	Format     string                     `json:"format"`
	Attributes map[string]json.RawMessage `json:"attributes"`
}

type provider struct {
	mutex   sync.Mutex
	service *saml.EntityDescriptor
	people  map[string]person
}

func (p *provider) GetServiceProvider(_ *http.Request, id string) (*saml.EntityDescriptor, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.service == nil || p.service.EntityID != id {
		return nil, os.ErrNotExist
	}
	return p.service, nil
}

func (p *provider) GetSession(w http.ResponseWriter, r *http.Request, _ *saml.IdpAuthnRequest) *saml.Session {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	who, known := p.people[r.PostForm.Get("login")]
	if !known {
		http.Error(w, "unknown", http.StatusForbidden)
		return nil
	}
	now := time.Now()
	session := &saml.Session{
		ID: "session", CreateTime: now, ExpireTime: now.Add(time.Hour), Index: "1",
		NameID: who.Name, NameIDFormat: who.Format,
	}
	json.Unmarshal(who.Attributes["mail"], &session.UserEmail)
	json.Unmarshal(who.Attributes["isMemberOf"], &session.Groups)
	return session
}

func (p *provider) serveFor(body []byte) error {
	service := &saml.EntityDescriptor{}
	if err := xml.Unmarshal(body, service); err != nil {
		return err
	}
	p.service = service
	return nil
}

func (p *provider) told(set func([]byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		p.mutex.Lock()
		defer p.mutex.Unlock()
		if err == nil {
			err = set(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "crewjam"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	address := "http://" + listener.Addr().String()
	at := func(path string) url.URL { return *must(url.Parse(address + path)) }

	p := &provider{people: map[string]person{}}
	identity := &saml.IdentityProvider{
		Key: key, Certificate: must(x509.ParseCertificate(der)), Logger: logger.DefaultLogger,
		MetadataURL: at("/metadata"), SSOURL: at("/sso"),
		ServiceProviderProvider: p, SessionProvider: p, SignatureMethod: dsig.RSASHA256SignatureMethod,
	}
	http.HandleFunc("/metadata", identity.ServeMetadata)
	http.HandleFunc("/sso", identity.ServeSSO)
	http.HandleFunc("/service", p.told(p.serveFor))
	http.HandleFunc("/people", p.told(func(body []byte) error {
		p.people = map[string]person{}
		return json.Unmarshal(body, &p.people)
	}))
	fmt.Println(address)
	panic(http.Serve(listener, nil))
}
