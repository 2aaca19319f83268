// What runs in the pods of a cluster with a real node. Standard library only: the image is one static file.
module bluegreen.dev/tests/app

go 1.26.0
