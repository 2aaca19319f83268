// discovery tells Prometheus which pods to scrape, by its HTTP service discovery: Debian builds Prometheus without the
// discovery of Kubernetes.
//
// It also stands in for every image registry, and says of each image that it isn't there: what was not imported is then
// missing at once, and nothing is asked of anybody outside.
//
// A target is each port named `http` of a running pod; it carries the pod's namespace, name and what bluegreen labelled.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

// What a kubeconfig that this project wrote says of its only cluster and user.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string `json:"server"`
			CA     []byte `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			Token string `json:"token"`
		} `json:"user"`
	} `json:"users"`
}

type podList struct {
	Items []pod `json:"items"`
}

type pod struct {
	Metadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Containers []struct {
			Ports []struct {
				Name          string `json:"name"`
				ContainerPort int    `json:"containerPort"`
			} `json:"ports"`
		} `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
		PodIP string `json:"podIP"`
	} `json:"status"`
}

type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func main() {
	config := flag.String("kubeconfig", "", "the cluster whose pods are told")
	listen := flag.String("listen", "127.0.0.1:9089", "where Prometheus asks")
	flag.Parse()
	pods, err := podsOf(*config)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/targets", func(w http.ResponseWriter, _ *http.Request) {
		list, err := pods()
		if err != nil {
			// Prometheus keeps the targets it knows when discovery fails.
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(targets(list))
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}

func targets(list podList) []targetGroup {
	groups := []targetGroup{}
	for _, pod := range list.Items {
		if pod.Status.Phase != "Running" || pod.Status.PodIP == "" {
			continue
		}
		labels := map[string]string{"namespace": pod.Metadata.Namespace, "pod": pod.Metadata.Name}
		for _, name := range []string{"rollout", "color", "revision"} {
			if value, labelled := pod.Metadata.Labels["bluegreen.dev/"+name]; labelled {
				labels[name] = value
			}
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if port.Name == "http" {
					target := fmt.Sprintf("%s:%d", pod.Status.PodIP, port.ContainerPort)
					groups = append(groups, targetGroup{Targets: []string{target}, Labels: labels})
				}
			}
		}
	}
	return groups
}

func podsOf(path string) (func() (podList, error), error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config kubeconfig
	if err := json.Unmarshal(data, &config); err != nil || len(config.Clusters) == 0 || len(config.Users) == 0 {
		return nil, fmt.Errorf("%s is no kubeconfig in JSON with a cluster and a user: %v", path, err)
	}
	cluster, token := config.Clusters[0].Cluster, config.Users[0].User.Token
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cluster.CA)
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	return func() (list podList, err error) {
		// From the API server's cache: this is asked every second.
		request, err := http.NewRequest("GET", cluster.Server+"/api/v1/pods?resourceVersion=0", nil)
		if err != nil {
			return list, err
		}
		request.Header.Set("authorization", "Bearer "+token)
		request.Header.Set("user-agent", "bluegreen-discovery")
		response, err := client.Do(request)
		if err != nil {
			return list, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return list, fmt.Errorf("the API server answered %s", response.Status)
		}
		return list, json.NewDecoder(response.Body).Decode(&list)
	}, nil
}
