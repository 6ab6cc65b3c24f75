// Says for each certificate whether Go believes it for a name, under one authority:
// verify CA (CERTIFICATE NAME)... prints `ok` or the reason, a line each.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"strings"
)

func read(file string) *x509.Certificate {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		log.Fatalf("%s: no PEM", file)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		log.Fatalf("%s: %v", file, err)
	}
	return certificate
}

func main() {
	roots := x509.NewCertPool()
	roots.AddCert(read(os.Args[1]))
	for rest := os.Args[2:]; len(rest) >= 2; rest = rest[2:] {
		_, err := read(rest[0]).Verify(x509.VerifyOptions{Roots: roots, DNSName: rest[1]})
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
}
